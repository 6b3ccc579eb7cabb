"""Distributions as pip leaves them, each broken in a way of its own; none of them may harm another plugin."""

from __future__ import annotations

from pathlib import Path

HEAD = 'api = 1\nname = "{name}"\nsummary = "made for a test"\n'
METHOD = (
    HEAD
    + 'adapter = "mdx_{name}.code:Method"\nconfig = "mdx_{name}.code:Config"\n[capabilities]\ntask = "segmentation"\n'
)
HOOKED = HEAD + 'hooks = ["mdx_{name}.code"]\n'
HOOK = "from mdx.plugins.hooks import hookimpl\n@hookimpl\ndef {signature}:\n    {body}\n"

# what is wrong with the value of one key; the text that the message must hold
MANIFESTS = {
    "variants = 3": "variants = 3",
    'variants = "all"': "variants = 'all'",
    "[variants]\none = 4": "[variants] one must be a table",
    '[variants.one]\nset = "fast"': "set = 'fast'",
    '[variants.one]\nadapter = ["a"]': "adapter = ['a']",
    "presets = []": "presets = []",
    '[presets]\ndemo = "sim:brain"': "[presets] demo must be a table",
    "[presets.demo]\ndata = 5": "data = 5",
    "tables = 1": "tables = 1",
    'tables = { t = "t.csv" }': "[tables.t] must be a table",
    "[tables.t]\nfile = 7": "file = 7",
    '[tables.t]\nfile = "t.csv"\n[tables.t.metrics]\nm = { metric = "dice", scale = "big" }': "scale = 'big'",
    '[tables.t]\nfile = "t.csv"\n[tables.t.keys.row]\na = { group = 3 }': "group = 3",
    '[tables.t]\nfile = "t.csv"\nclaims = ["x"]': "claims = ['x']",
    '[tables.t]\nfile = "t.csv"\n[tables.t.claims]\nc = { order = "a" }': "order = 'a'",
    'capabilities = "all"': "capabilities = 'all'",
    "[capabilities]\ntask = 3": "task = 3",
    '[capabilities]\ntask = "segmentation"\ndims = 3': "dims = 3",
    '[capabilities]\ntask = "segmentation"\ntrains = "yes"': "trains = 'yes'",
    '[capabilities]\ntask = "segmentation"\ntarget_labels = ["never"]': "target_labels = ['never']",
    'hooks = "mdx_x"': "hooks = 'mdx_x'",
    "hooks = [1]": "hooks = [1]",
    "baselines = 2": "baselines = 2",
    'default_variant = ["a"]': "default_variant = ['a']",
    "cpu_preset = true": "cpu_preset = True",
    'paper = "a paper"': "paper = 'a paper'",
    '[paper]\nauthors = "one"': "authors = 'one'",
    "provides = 1": "provides = 1",
    'provides = { datasets = "x" }': "provides = ",
    "[provides.layouts]\nx = 1": "x = 1",
    '[provides.things]\nx = "a:b"': "[provides.things]",
}

# the code of a plugin's module; part of what doctor says of it
CODE = {
    "raise ImportError('no such thing')": "no such thing",
    "def broken(:": "SyntaxError",
    "import a_package_that_is_not_there": "a_package_that_is_not_there",
    "x = 1": "has no attribute 'Method'",
    "Method = Config = int": "is not a subclass",
    "import sys; sys.exit(0)": "SystemExit",
    "import os; os._exit(0)": "ended the process (exit code 0)",
    "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)": "ended the process (signal 11)",
    "raise KeyboardInterrupt": "ended the process",
}

# a hook and its body; part of what doctor says of it
HOOKS = {
    ("mdx_doctor()", "raise ValueError('of no use')"): "of no use",
    ("mdx_doctor()", "return 5"): "answers 5",
    ("mdx_doctor()", "import sys; sys.exit(0)"): "SystemExit",
    ("mdx_no_such_hook()", "return 1"): "mdx_no_such_hook",
    ("mdx_doctor(colour)", "return []"): "colour",
}


def install(
    folder: Path, name: str, manifest: str | bytes | None, code: str = "", *, package: str = "", target: str = ""
) -> None:
    """The distribution ``mdx-NAME`` 1.2 with the package ``mdx_NAME`` (``package`` if given) in ``folder``.

    Its entry point is ``target``, if that is given; ``manifest`` None leaves the manifest out.
    """
    package = package or f"mdx_{name}"
    place = folder / package
    place.mkdir(exist_ok=True)
    (place / "__init__.py").write_text("")
    (place / "code.py").write_text(code)
    if manifest is not None:
        (place / "mdx.toml").write_bytes(manifest if isinstance(manifest, bytes) else manifest.encode())
    info = folder / f"mdx_{name}-1.2.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: mdx-{name}\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(f"[mdx.plugins]\n{name} = {target or f'{package}:mdx.toml'}\n")


def install_odd_manifests(folder: Path) -> dict[str, str]:
    """Plugins whose manifests cannot be used: name -> a part of the message."""
    expected: dict[str, str] = {}
    for i, (text, said) in enumerate(MANIFESTS.items()):
        expected[f"odd{i}"] = said
        install(folder, f"odd{i}", (METHOD if text.startswith("[tables") else HEAD).format(name=f"odd{i}") + text)
    odd: dict[str, tuple[str | bytes | None, str]] = {
        "binary": (b"\xff\xfe\x00", "not valid TOML"),
        "absent": (None, "the manifest is missing"),
        "textapi": ('api = "1"', "api = '1', which must be a whole number"),
        "deep": ("api = 1\nname = " + "[" * 5000, "not valid TOML"),
        "long": ("api = 1\nname = " + "9" * 5000, "not valid TOML"),
    }
    for name, (manifest, said) in odd.items():
        install(folder, name, manifest)
        expected[name] = said
    install(folder, "directory", None)
    (folder / "mdx_directory" / "mdx.toml").mkdir()
    install(folder, "main", HEAD.format(name="main"), target="__main__:mdx.toml")
    install(folder, "nul", HEAD.format(name="nul"), target="a\0b:mdx.toml")
    install(folder, "relative", HEAD.format(name="relative"), target=".:mdx.toml")
    return {
        **expected, "directory": "is no regular file", "main": "no top-level package", "nul": "no top-level package",
        "relative": "no top-level package",
    }  # fmt: skip


def install_odd_code(folder: Path) -> dict[str, str]:
    """Plugins that are listed and cannot be imported, or whose hooks fail: name -> a part of what doctor says."""
    expected: dict[str, str] = {}
    for i, (code, said) in enumerate(CODE.items()):
        install(folder, f"code{i}", METHOD.format(name=f"code{i}"), code)
        expected[f"code{i}"] = said
    for i, ((signature, body), said) in enumerate(HOOKS.items()):
        install(folder, f"hook{i}", HOOKED.format(name=f"hook{i}"), HOOK.format(signature=signature, body=body))
        expected[f"hook{i}"] = said
    return expected
