"""Feather-Light Fourier Domain Adaptation (Zakazov, Shaposhnikov, Bespalov, Dylov, 2022)."""
