"""`bise bench`: tokens a second here, beside the machine's limits."""

import json
from typing import Any

import click


@click.command("bench")
@click.argument("model", required=False)
@click.option("--seconds", default=4.0, show_default=True, help="For each of the four rates.")
@click.option("--watts", type=float, help="What the machine draws while it works; 10 a core when not given.")
@click.option("--per-kwh", default=0.30, show_default=True, help="Price of electricity, in your currency.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def command(model: str | None, seconds: float, watts: float | None, per_kwh: float, as_json: bool) -> None:
    """Measure MODEL on this machine: without a name, the demonstration model."""
    from bise.cli.preparing import preparing
    from bise.engine.bench import bench
    from bise.engine.energy import price_of
    from bise.weights.store import DEFAULT_MODEL, find_model

    def say(text: str) -> None:
        click.echo(text, err=True)

    figures = bench(find_model(model or DEFAULT_MODEL), seconds, price_of(watts, per_kwh), say, preparing())
    click.echo(json.dumps(figures, indent=2) if as_json else _in_words(figures))


def _in_words(figures: dict[str, Any]) -> str:
    rates, costs, machine = figures["tokens_per_s"], figures["per_million_tokens"], figures["machine"]
    lines = [
        f"{figures['model']['name']}: {figures['model']['parameters'] / 1e6:,.1f} million parameters on "
        f"{machine['processor']}, {machine['threads']} threads, instruction set {machine['instruction_set']}, {machine['path']}",
        "",
        f"{'':12}{'tokens/s':>10}{'10 % to 90 %':>24}{'kWh a million':>16}{'cost':>10}",
    ]
    for name, rate in rates.items():
        spread = f"{rate['p10']:,.1f} to {rate['p90']:,.1f}"
        cost = costs[name]
        lines.append(f"{name:12}{rate['median']:>10,.1f}{spread:>24}{cost['kwh']:>16.3f}{cost['cost']:>10.3f}")
    lines += [
        "",
        f"A token reads {figures['bytes_per_token'] / 1e6:,.1f} MB; the memory delivers "
        f"{figures['memory_bytes_per_s'] / 1e9:.1f} GB/s; decode_1 uses "
        f"{100 * figures['memory_share_of_decode_1']:.0f} % of that{_in_cache(figures)}.",
    ]
    if "peak_share_of_prefill" in figures:
        lines.append(
            f"A token takes {figures['operations_per_token'] / 1e6:,.0f} million operations; the processor does "
            f"{figures['int8_operations_per_s'] / 1e9:,.0f} billion a second; prefill uses "
            f"{100 * figures['peak_share_of_prefill']:.0f} % of that."
        )
    return "\n".join([*lines, f"Energy: {figures['energy_method']}."])


def _in_cache(figures: dict[str, Any]) -> str:
    return ", as the model fits into the processor's cache" if figures["memory_share_of_decode_1"] > 1 else ""
