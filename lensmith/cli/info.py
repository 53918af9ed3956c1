"""The verb `info`: what this machine has, what the installation has, and what the caches keep."""

import json
from typing import Annotated, Any

import typer

from lensmith.cli.options import Json
from lensmith.cli.terminal import print_table, show


def info(
    clear: Annotated[bool, typer.Option("--clear", help="Remove from the cache what can be made again; data sets that "
                                                        "were downloaded stay.")] = False,
    as_json: Json = False,
) -> None:
    """What this machine and this installation have: cores, measured speed, GPUs, extras, caches, data and weights."""
    from lensmith.cli.machine import clear_caches, machine

    freed = clear_caches() if clear else None
    facts = machine()
    if as_json:
        show(json.dumps(facts | ({} if freed is None else {"freed_bytes": freed})))
        return
    _show_machine(facts)
    _show_extras(facts["extras"])
    _show_caches(facts["cache"], freed)
    _show_found("data sets", [(row["name"], row["here"]) for row in facts["data"]],
                "none was found; `lensmith list data` shows those that are known by name")
    _show_found("weights", [(row["name"], row["file"]) for row in facts["weights"]], "none was found")


def _show_machine(facts: dict[str, Any]) -> None:
    processor, build = facts["processor"], facts["torch"]
    rows = [("lensmith", f"{facts['version']}, Python {facts['python']}, {facts['platform']}"),
            ("processor", processor["name"]),
            ("cores", f"{processor['cores']}, of which {processor['usable']} may be used; "
                      f"{processor['memory_free_gb']:,.1f} GB of memory are free"),
            ("instructions", " ".join(processor["instructions"]) or "this system does not tell"),
            ("matrices", _rates(processor["rates"])),
            ("GPU", facts["gpu"])]
    rows += [(gpu["device"], "; ".join([gpu["name"], *([f"{gpu['memory_gb']} GB"] if "memory_gb" in gpu else []),
                                        _rates(gpu["rates"])])) for gpu in facts["gpus"]]
    libraries = [word for word, key in (("MKL", "mkl"), ("oneDNN", "onednn"), ("OpenMP", "openmp")) if build[key]]
    rows += [("driver", facts["driver"] or "none of NVIDIA's"),
             ("torch", f"{build['version']}, {'CUDA ' + build['cuda'] if build['cuda'] else 'no CUDA'}, "
                       f"{', '.join(libraries)}, kernels for {build['cpu_capability']}, {build['threads']} threads")]
    _lines(rows)


def _rates(rates: dict[str, float | None]) -> str:
    return ", ".join(f"{name} {rate:,.0f} GFLOP/s" for name, rate in rates.items() if rate is not None) \
        or "could not be measured"


def _lines(rows: list[tuple[str, str]]) -> None:
    width = max(len(name) for name, _ in rows)
    for name, text in rows:
        show(f"{name:<{width}}  {text}")


def _show_extras(extras: list[dict[str, Any]]) -> None:
    show("")
    print_table(["extra", "here", "packages or the command that brings them"],
                [[row["name"], "yes" if row["here"] else "no", ", ".join(row["packages"]) if row["here"] else
                  f"{row['install']} (missing: {', '.join(row['missing'])})"] for row in extras])


def _show_caches(cache: dict[str, Any], freed: int | None) -> None:
    show("")
    show(f"cache {cache['folder']}" + ("" if freed is None else f": {_megabytes(freed)} were removed"))
    print_table(["part", "size", "files", "what"],
                [[row["name"], _megabytes(row["bytes"]), f"{row['files']:,}", row["what"]] for row in cache["parts"]])
    if freed is None and any(row["bytes"] for row in cache["parts"]):
        show("`lensmith info --clear` removes these; what is needed is made again")


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


def _show_found(what: str, rows: list[tuple[str, str]], none: str) -> None:
    show("")
    show(what)
    if rows:
        _lines([(f"  {name}", place) for name, place in rows])
    else:
        show(f"  {none}")
