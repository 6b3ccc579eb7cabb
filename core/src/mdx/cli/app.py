"""The command ``mdx``: finds the verb, imports only that verb's module, and turns errors into messages and exit codes.

Help is plain text: typer's rich formatting alone takes as long as the rest of ``mdx --help``.
"""

from __future__ import annotations

import errno
import os
import re
import sys
from importlib import import_module

import typer

from mdx import __version__, console, stopping
from mdx.cli.levels import split_level
from mdx.errors import MdxError, UsageError, nearest

# verb -> module of mdx.cli that has it as a function, or as a typer app of verbs of its own; its line in the help
VERBS = {
    "list": ("plugins", "List the installed plugins."),
    "show": ("plugins", "Show a plugin: paper, variants, presets, tables, settings."),
    "run": ("run", "Train a method and its baselines, score them, write a page."),
    "resume": ("run", "Go on with a run that was stopped or killed."),
    "sweep": ("sweep", "Run pairs of sites, variants, seeds; again fills gaps only."),
    "runs": ("runs", "List the runs in a folder, and how far they are."),
    "compare": ("compare", "Compare methods on the same cases, with intervals and tests."),
    "reproduce": ("reproduce", "Run a published table; print published beside measured."),
    "apply": ("results", "Predict new files with a finished run."),
    "evaluate": ("results", "Score a finished run on other labelled cases."),
    "report": ("results", "Write the page of a run again."),
    "data": ("data", "Write, check, divide and prepare the table of a cohort."),
    "doctor": ("doctor", "Look at Python, devices, plugins, the cache and the disk."),
}
OTHER_WORDS = {
    "train": "run", "fit": "run", "predict": "apply", "infer": "apply", "inference": "apply", "test": "evaluate",
    "score": "evaluate", "eval": "evaluate", "init": "data init", "check": "data check", "split": "data split",
    "prepare": "data prepare", "plugins": "list", "info": "show", "status": "runs", "continue": "resume",
}  # fmt: skip
"""What other tools call a command -> what it is called here."""


def build(argv: list[str]) -> typer.Typer:
    """The application with the verb that ``argv`` names, or with all of them for help."""
    app = typer.Typer(
        name="mdx",
        help="Run published methods for domain adaptation of medical images on your own table of scans.",
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        no_args_is_help=True,
        add_completion=True,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    verb = next((a for a in argv if not a.startswith("-")), None)
    if verb is not None and verb not in VERBS:
        app.add_typer(_of_plugin(verb), name=verb)
        return app
    for name in [verb] if verb in VERBS else VERBS:
        place, line = VERBS[name]
        module = import_module(f"mdx.cli.{place}")
        if hasattr(module, f"{name}_app"):
            app.add_typer(getattr(module, f"{name}_app"), name=name, short_help=line)
        else:
            app.command(name, short_help=line)(getattr(module, f"{name}_command"))
    return app


def _of_plugin(name: str) -> typer.Typer:
    """The verbs that the plugin ``name`` brings (``[provides.verbs]``). Raises UsageError if there are none."""
    from mdx.plugins.activation import load
    from mdx.plugins.discovery import discover

    plugins = discover()
    manifests = {plugin: p.manifest for plugin, p in plugins.items() if p.manifest is not None}
    found = {plugin: m.provides["verbs"] for plugin, m in manifests.items() if "verbs" in m.provides}
    if name not in found:
        other = OTHER_WORDS.get(name.lower())
        remedy = f"it is called 'mdx {other}' here" if other else nearest(name, {*VERBS, *found})
        raise UsageError(f"there is no command '{name}'", remedy)
    verbs = typer.Typer(help=manifests[name].summary, rich_markup_mode=None, no_args_is_help=True)
    verbs.callback()(lambda: None)  # without it a single verb would not be named
    for verb, target in found[name].items():
        verbs.command(verb)(load(target, plugins[name]))
    return verbs


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mdx {__version__}")
        raise typer.Exit


def _options(
    version: bool = typer.Option(
        False, "--version", "-V", help="Print the version and leave.", callback=_print_version, is_eager=True
    ),
    quiet: bool = typer.Option(False, "--quiet", "-q", help="Tell only errors and the result; also after a verb."),
    verbose: bool = typer.Option(False, "--verbose", "-v", help="Tell what is loaded, found, and how long it took."),
) -> None:
    """What ``split_level`` has taken out is here for the help."""


def run_cli(argv: list[str]) -> int:
    """Carry out a command line; the exit code. Never raises."""
    try:
        level, argv = split_level(argv)
        _require_set(argv)
        with console.telling_as(level):
            result = build(argv)(args=spread_assignments(argv), prog_name="mdx", standalone_mode=True)
        return result if isinstance(result, int) else 0
    except SystemExit as end:
        if end.code == 130:  # typer has turned Ctrl-C into this
            return _fail(stopping.message(), 130)
        if isinstance(end.__context__, BrokenPipeError):  # typer makes a failure of it
            return 0
        return end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except MdxError as error:
        if stopping.asked():
            return _stopped()
        if os.environ.get("MDX_DEBUG"):
            raise
        return _fail(f"error: {error}", error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        return _fail(stopping.message(), 130)
    except stopping.StopSignal:
        return _stopped()
    except BrokenPipeError:
        sys.stderr.close()  # the reader of a pipe has gone; there is nobody to tell
        return 0
    except MemoryError as error:
        return _fail(out_of_memory(error), 6)
    except Exception as error:
        if stopping.asked():  # compiled code that was called back has made another error of it
            return _stopped()
        if os.environ.get("MDX_DEBUG"):
            raise
        return _unexpected(error)


def _stopped() -> int:
    stopping.acknowledge()
    stopping.forget()
    return _fail(stopping.message(), stopping.StopSignal.exit_code)


def _require_set(argv: list[str]) -> None:
    """Raise UsageError for ``epochs=4`` among the arguments of a run without ``--set`` before it."""
    if argv[:1] not in (["run"], ["sweep"], ["reproduce"]):
        return
    takes_several = ("--set", "--grid")
    option = ""
    for i, word in enumerate(argv[1:], 1):
        if word.startswith("-"):
            option = word
        elif re.fullmatch(r"[A-Za-z_][\w.]*=.*", word) and option not in takes_several and argv[i - 1] != option:
            raise UsageError(f"'{word}' stands alone", f"settings follow --set: --set {word}")


def spread_assignments(argv: list[str]) -> list[str]:
    """``--set a=1 b=2`` as ``--set a=1 --set b=2``: every KEY=VALUE that follows belongs to the ``--set`` before it."""
    spread: list[str] = []
    for i, word in enumerate(argv):
        follows = i >= 2 and not word.startswith("-") and "=" in word and spread[-2:-1] == ["--set"]
        spread += ["--set", word] if follows else [word]
    return spread


def _unexpected(error: Exception) -> int:
    from mdx.cli.blame import plugin_at_fault

    if "can't allocate memory" in str(error) or "not enough memory" in str(error):  # of torch on a CPU
        return _fail(out_of_memory(error), 6)
    if type(error).__name__ == "OutOfMemoryError":
        return _fail("error: the GPU is out of memory\n  -> use a smaller batch or crop, or --precision bf16-mixed", 6)
    if getattr(error, "errno", None) == errno.ENAMETOOLONG or "embedded null" in str(error):
        return _fail(f"error: a path of the command is none ({error!s:.120})\n  -> check the paths", 2)
    if isinstance(error, OSError) and error.errno in (27, 28):  # file size limit, no space left
        return _fail(f"error: {error}\n  -> free disk space; what was finished before is kept", 6)
    if isinstance(error, ImportError) and (error.name or "mdx").partition(".")[0] not in ("mdx", "__main__"):
        return _fail(
            f"error: {error.name} cannot be imported: {error}\n"
            "  -> reinstall the package that brings it; 'mdx doctor' looks at all of them",
            5,
        )
    blamed = plugin_at_fault(error)
    if blamed is not None:
        plugin, line = blamed
        return _fail(
            f"error: the plugin '{plugin.name}' ({plugin.distribution} {plugin.version}) failed in {line}: "
            f"{type(error).__name__}: {error}\n"
            "  -> report it to the plugin's authors; MDX_DEBUG=1 shows the traceback (a run has it in its log.txt)",
            5,
        )
    return _fail(
        f"error: a bug in mdx: {type(error).__name__}: {error}\n"
        "  -> set MDX_DEBUG=1 for the traceback (a run has it in its log.txt) and report it",
        1,
    )


def out_of_memory(error: BaseException) -> str:
    """What was being done when memory ran out, how much had been taken at the most, and three remedies."""
    import resource

    trace, place = error.__traceback__, ""
    while trace is not None:
        name = trace.tb_frame.f_globals.get("__name__", "")
        if name.startswith("mdx") and not name.startswith("mdx.cli"):
            place = f" in {name}.{trace.tb_frame.f_code.co_name}"
        trace = trace.tb_next
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**30 if sys.platform == "darwin" else 2**20)
    return (
        f"error: out of memory{place}: {str(error).splitlines()[0] if str(error) else type(error).__name__:.200}\n"
        f"  the process had taken {peak:.1f} GB at the most\n"
        "  -> a smaller batch (--set batch_size=..., training.batch_size=...), smaller images (--set data.size=... or "
        "data.spacing_mm=...), or fewer processes (--set run.workers=0, fewer --jobs)"
    )


def _fail(message: str, code: int) -> int:
    sys.stderr.write(f"{message}\n")
    return code
