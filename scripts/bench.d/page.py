"""docs/benchmarks.md and its chart, from the rows of docs/benchmarks.json."""
import html
import math
import os

HEAD = """# nnc beside its peers

Written by `scripts/bench-peers` from [benchmarks.json](benchmarks.json). In each row the same weights and data went into all
contestants, and what they computed was compared: results, and for a step the updated weights. Contestants ran in turns in one
run, each with its best settings; a figure is the median of the turns' medians in microseconds, the fastest call's in brackets;
the calls are timed from Python, nnc's as the others'. *Against the best*: the best peer's time over nnc's, above 1 where nnc
is faster. The floor is the multiply-adds that the model asks for at the peak that a probe reached before or after, and the
share of peak is the floor over nnc's median. `same` is the largest difference from nnc's result and, behind it, of the
updates of weights, both relative. *With --fast-conv*: nnc's own time with that option, and its time without over it. What a
convolution multiplies with its border of zeros counts as asked for, though nnc leaves most of it out, as others may: of a
3 x 3 window at 7 x 7 pixels that is 18%.

![each row's time of the best peer over nnc's](benchmarks.svg)
"""
FAST = "nnc --fast-conv"
TITLES = {"infer": "Inference", "train": "Training steps", "product": "Products", "math": "Vector math"}


def is_peer(name):
    return name not in ("nnc", FAST)


def best(row):
    """The peer with the lowest median among those that compute the same."""
    peers = [(figures["median"], name) for name, figures in row["contestants"].items() if is_peer(name) and figures["same"]]
    return min(peers)[1] if peers else None


def time(figures):
    return f"{1e6 * figures['median']:,.1f} ({1e6 * figures['fastest']:,.1f})"


def ratio(row, figure="median"):
    peer = best(row)
    return row["contestants"][peer][figure] / row["contestants"]["nnc"][figure] if peer else None


def fast_conv(row):
    own, fast = row["contestants"]["nnc"], row["contestants"].get(FAST)
    return f"{time(fast)}, {own['median'] / fast['median']:.2f}" if fast and fast["same"] else "-"


def table(rows):
    some = any(FAST in row["contestants"] for row in rows)
    more = ("with --fast-conv | ", "--- | ") if some else ("", "")
    yield f"| workload | threads | floor | nnc | best peer | | against the best | share of peak | {more[0]}same | commit |"
    yield f"| --- | --- | --- | --- | --- | --- | --- | --- | {more[1]}--- | --- |"
    for row in rows:
        own, peer = row["contestants"]["nnc"], best(row)
        floor = row["flops"] / row["peak"] if row["flops"] else 0
        cells = [row["key"], str(row["threads"]), f"{1e6 * floor:,.1f}" if floor else "-", time(own)]
        cells += [peer, time(row["contestants"][peer]), f"**{ratio(row):.2f}** ({ratio(row, 'fastest'):.2f})"] if peer else ["-"] * 3
        cells += [f"{100 * floor / own['median']:.0f}%" if floor else "-", *([fast_conv(row)] if some else [])]
        cells += [row["worst"], row["commit"]]
        yield "| " + " | ".join(cells) + " |"


def means(rows):
    """Beside each peer alone, by threads: the geometric mean of its times over nnc's, the least, the mean at the whole peak."""
    times = {}
    for row in rows:
        floor = row["flops"] / row["peak"]
        for name, figures in row["contestants"].items():
            if is_peer(name) and figures["same"]:
                key = name.split(" sgemm")[0].split(" cblas")[0], row["threads"]
                own = row["contestants"]["nnc"]["median"]
                times.setdefault(key, []).append((figures["median"] / own, figures["median"] / floor))
    yield "The last column is the mean that a contestant would have who needs no more than the floor."
    yield ""
    yield "| beside | threads | products | geometric mean | least | at the whole peak |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for (name, threads), ratios in sorted(times.items()):
        mean, limit = (math.exp(sum(map(math.log, column)) / len(ratios)) for column in zip(*ratios))
        yield f"| {name} | {threads} | {len(ratios)} | {mean:.2f} | {min(ratios)[0]:.2f} | {limit:.2f} |"


def everyone(rows):
    yield "| workload | threads | contestant | median (fastest) | first call, s | compared |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for row in rows:
        for name, figures in sorted(row["contestants"].items(), key=lambda item: item[1]["median"]):
            yield (f"| {row['key']} | {row['threads']} | {name} | {time(figures)} | {figures['first']:.2f} | "
                   f"{figures['difference'] if figures['same'] else 'DIFFERS: ' + figures['difference']} |")


def chart(rows):
    """Bars of the best peer's time over nnc's, on a line at 1."""
    shown = [(f"{row['key']}, {row['threads']} thread{'s' * (row['threads'] > 1)}", ratio(row)) for row in rows if best(row)]
    height, left, scale, most = 18, 330, 110, 5.0
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + scale * most + 70:.0f}" '
             f'height="{height * len(shown) + 40}" font-family="sans-serif" font-size="12">',
             '<rect width="100%" height="100%" fill="white"/>',
             f'<text x="{left}" y="16">time of the best peer over nnc\'s (1: equal; longer: nnc is faster)</text>']
    for k, (name, times) in enumerate(shown):
        y, width = 26 + k * height, scale * min(times, most)
        colour = "#2a7f62" if times >= 1 else "#b4442f"
        lines += [f'<text x="{left - 8}" y="{y + 12}" text-anchor="end">{html.escape(name)}</text>',
                  f'<rect x="{left}" y="{y + 2}" width="{width:.1f}" height="{height - 5}" fill="{colour}"/>',
                  f'<text x="{left + width + 5:.1f}" y="{y + 12}">{times:.2f}</text>']
    lines += [f'<line x1="{left + scale}" x2="{left + scale}" y1="24" y2="{26 + height * len(shown)}" stroke="black"/>', "</svg>"]
    return "\n".join(lines) + "\n"


def write(folder, store):
    rows = list(store["rows"].values())
    lines = [HEAD]
    for kind, title in TITLES.items():
        of_kind = [row for row in rows if row["kind"] == kind]
        if of_kind:
            lines += [f"## {title}", "", *table(of_kind), ""]
        if of_kind and kind == "product":
            lines += [*means(of_kind), ""]
        if of_kind and kind == "math":
            lines += ["All arrays begin pages: loads of what lies 64 bytes before what is written, modulo a page, would wait.", ""]
    lines += ["## All contestants", "", *everyone(rows), "", "## Machine and versions", "",
              f"{store['machine']}. {', '.join(store['versions'])}.", ""]
    lines += ["| threads | FMA peak before, after, GFLOP/s | memory bandwidth before, after, GB/s |", "| --- | --- | --- |"]
    for threads, (before, after) in sorted(store["probes"].items()):
        lines.append(f"| {threads} | {1e-9 * before[0]:.1f}, {1e-9 * after[0]:.1f} | {1e-9 * before[1]:.1f}, {1e-9 * after[1]:.1f} |")
    for note in store["notes"]:
        lines.append(f"\n- {note}")
    for name, text in (("benchmarks.md", "\n".join(lines) + "\n"), ("benchmarks.svg", chart(rows))):
        with open(os.path.join(folder, name), "w") as file:
            file.write(text)
