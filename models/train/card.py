"""Writes figures into the model card, between its markers: those of WORK/figures.json, and those of left_out.json
and baselines.md where these are named."""

import argparse
import json
import pathlib

from figures import GAP_WEIGHT

LEFT_OUT = ("<!-- left out: written by models/train/card.py -->", "<!-- end of left out -->")
BASELINES = ("<!-- baselines: written by models/train/card.py -->", "<!-- end of baselines -->")
START, END = "<!-- figures: written by models/train/card.py -->", "<!-- end of figures -->"


def between(values):
    return f"{values[0]:.3f} [{values[1]:.3f}, {values[2]:.3f}]"


def everyday_table(found):
    """The rated prompts of the validation split."""
    classes = {"s": "1B", "m": "8B", "l": "70B", "x": "GPT-4.1"}

    def each(part):
        return ", ".join(f"{text} {found[part][name]:.3f}" for name, text in classes.items())

    other = found["other_languages"]
    rows = {
        "P(correct) against rated ease, Spearman [95 %]": between(found["spearman"]),
        "mean abs(P − rated)": each("mean_abs"),
        "ECE": each("ece"),
        "answer tokens within a factor of two": f"{found['tokens_within_2']:.3f}",
        "answer tokens, geometric mean of estimate / rated": f"{found['tokens_ratio']:.2f}",
        "task, domain right": f"{found['task']:.3f}, {found['domain']:.3f}",
        f"the same in other languages (n = {other['n']})": f"{other['task']:.3f}, {other['domain']:.3f}",
        "prompts on which a smaller class is above a bigger one by 0.02": str(found["smaller_above_bigger"]),
    }
    lines = [f"Rated everyday prompts (n = {found['n']}):", "", "| figure | value |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in rows.items()]
    lines += [
        "",
        "Rules on a domain, `confidence` at which they find a share of its prompts, and how precise they are there:",
        "",
        "| domain | recall 0.95 | recall 0.90 | recall 0.80 |",
        "|---|---|---|---|",
    ]
    for name, bounds in found["recall"].items():
        cells = [
            f"{bounds[least]['confidence']:.3f}: {bounds[least]['precision']:.2f}" for least in ("0.95", "0.9", "0.8")
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return [*lines, ""]


def tables(figures):
    apgr = figures["apgr"]
    lines = [
        *everyday_table(figures["everyday"]),
        (
            f"APGR, Mixtral-8x7B-Instruct → GPT-4-1106 on MMLU validation questions (n = {apgr['n']}; "
            "subjects seen in training):"
        ),
        "",
        "| router | APGR [95 %] |",
        "|---|---|",
    ]
    named = {
        "random": "random",
        "length": "longer prompt → strong",
        "p_strong_minus_p_weak": "P(strong correct) − P(weak correct)",
        "scorer": f"`gain` + {GAP_WEIGHT} · (P(strong) − P(weak)), which ranks a pair in `pointsman eval`",
        "gain": "`gain`: 2 z(gain) + z(weak failure) + 2 z(length)",
        "weak_failure": "`weak_failure` alone",
        "difficulty": "`difficulty` alone",
    }
    lines += [f"| {text} | {between(apgr[name])} |" for name, text in named.items()]
    lines += [
        "",
        "P(correct), per source of outcomes:",
        "",
        (
            "| source | n | AUC within a model [95 %] | ECE, abilities fitted | ECE, abilities from "
            "benchmark scores alone |"
        ),
        "|---|---|---|---|---|",
    ]
    for name, row in figures["outcomes"].items():
        lines.append(
            f"| {name} | {row['n']} | {between(row['auc_within'])} | {row['ece_models_seen']:.3f} | "
            f"{row['ece_benchmarks_only']:.3f} |"
        )
    lines += ["", "| label | n | accuracy [95 %] | mean recall over classes |", "|---|---|---|---|"]
    lines += [
        f"| {name} | {figures[name]['n']} | {between(figures[name]['accuracy'])} | {figures[name]['macro']:.3f} |"
        for name in ("task", "domain")
    ]
    lines += ["", "Recall per class (number of validation prompts):", ""]
    for name in ("task", "domain"):
        lines.append(
            f"- {name}: "
            + ", ".join(f"{label} {recall:.2f} ({count})" for label, (recall, count) in figures[name]["recall"].items())
        )
    tokens = figures["output_tokens"]
    lines += [
        "",
        (
            f"Output tokens: half of the estimates are within a factor of {tokens['median_factor']:.2f} (of "
            f"one constant for all: {tokens['median_factor_constant']:.2f})."
        ),
    ]
    return "\n".join(lines)


def left_out_tables(said):
    lines = [
        (
            "| left out | n | AUC within a model [95 %] | ECE before | ECE after 50 labels (four fifths of "
            "draws) | task accuracy there |"
        ),
        "|---|---|---|---|---|---|",
    ]
    for name, row in said["sources"].items():
        lines.append(
            f"| {name}, {row['models']} models, all placed by scores | {row['n']} | {between(row['auc'])} | "
            f"{between(row['ece'])} | {between(row['ece_after_labels'])} | {between(row['task'])} |"
        )
    lines += [
        "",
        "| models left out, placed by scores | models | prompts | AUC within a model [95 %] | ECE [95 %] |",
        "|---|---|---|---|---|",
    ]
    for name, row in said["models"].items():
        lines.append(
            f"| {'all sources' if name == 'all' else name} | {row['models']} | {row['n']} | "
            f"{between(row['auc'])} | {between(row['ece'])} |"
        )
    lines += [
        "",
        (
            f"| MMLU subjects left out | questions | APGR by gain + {GAP_WEIGHT} · (P(strong) − P(weak)) | "
            "by `gain` | longer prompt → strong |"
        ),
        "|---|---|---|---|---|",
    ]
    for number, row in enumerate(said["subjects"], 1):
        lines.append(
            f"| part {number} of {len(said['subjects'])} | {row['n']} | {between(row['scorer'])} | "
            f"{between(row['gain'])} | {between(row['length'])} |"
        )
    mean = {
        name: sum(row[name][0] for row in said["subjects"]) / len(said["subjects"])
        for name in ("scorer", "gain", "length")
    }
    lines.append(f"| mean of the parts | | {mean['scorer']:.3f} | {mean['gain']:.3f} | {mean['length']:.3f} |")
    lines += ["", "| labelled source left out | n | task accuracy [95 %] |", "|---|---|---|"]
    lines += [f"| {name} | {row['n']} | {between(row['task'])} |" for name, row in said["labelled_sources"].items()]
    return "\n".join(lines)


def put(text, markers, block):
    before, rest = text.split(markers[0])
    return f"{before}{markers[0]}\n\n{block}\n\n{markers[1]}{rest.split(markers[1])[1]}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--figures", required=True)
    parser.add_argument("--card", required=True)
    parser.add_argument("--left-out")
    parser.add_argument("--baselines")
    args = parser.parse_args()
    card = pathlib.Path(args.card)
    text = put(
        card.read_text(encoding="utf-8"),
        (START, END),
        tables(json.loads(pathlib.Path(args.figures).read_text(encoding="utf-8"))),
    )
    if args.left_out:
        text = put(text, LEFT_OUT, left_out_tables(json.loads(pathlib.Path(args.left_out).read_text(encoding="utf-8"))))
    if args.baselines:
        text = put(text, BASELINES, pathlib.Path(args.baselines).read_text(encoding="utf-8").strip())
    card.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
