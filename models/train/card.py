"""Writes the figures of WORK/figures.json into the model card, between its markers."""

import argparse
import json
import pathlib

START, END = "<!-- figures: written by models/train/card.py -->", "<!-- end of figures -->"


def between(values):
    return f"{values[0]:.3f} [{values[1]:.3f}, {values[2]:.3f}]"


def tables(figures):
    apgr = figures["apgr"]
    lines = [f"APGR, Mixtral-8x7B-Instruct → GPT-4-1106 on MMLU validation questions (n = {apgr['n']}; subjects seen in training):", "", "| router | APGR [95 %] |", "|---|---|"]
    named = {
        "random": "random", "length": "longer prompt → strong", "p_strong_minus_p_weak": "P(strong correct) − P(weak correct)", "gain": "`gain`: 2 z(gain) + z(weak wrong) + z(length)",
        "weak_wrong": "`weak_wrong` alone", "difficulty": "`difficulty` alone",
    }
    lines += [f"| {text} | {between(apgr[name])} |" for name, text in named.items()]
    lines += ["", "P(correct), per source of outcomes:", "", "| source | n | AUC within a model [95 %] | ECE, abilities fitted | ECE, abilities from benchmark scores alone |", "|---|---|---|---|---|"]
    for name, row in figures["outcomes"].items():
        lines.append(f"| {name} | {row['n']} | {between(row['auc_within'])} | {row['ece_models_seen']:.3f} | {row['ece_benchmarks_only']:.3f} |")
    lines += ["", "| label | n | accuracy [95 %] | mean recall over classes |", "|---|---|---|---|"]
    lines += [f"| {name} | {figures[name]['n']} | {between(figures[name]['accuracy'])} | {figures[name]['macro']:.3f} |" for name in ("task", "domain")]
    lines += ["", "Recall per class (number of validation prompts):", ""]
    for name in ("task", "domain"):
        lines.append(f"- {name}: " + ", ".join(f"{label} {recall:.2f} ({count})" for label, (recall, count) in figures[name]["recall"].items()))
    tokens = figures["output_tokens"]
    lines += ["", f"Output tokens: half of the estimates are within a factor of {tokens['median_factor']:.2f} (of one constant for all: {tokens['median_factor_constant']:.2f})."]
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--figures", required=True)
    parser.add_argument("--card", required=True)
    args = parser.parse_args()
    card = pathlib.Path(args.card)
    before, rest = card.read_text(encoding="utf-8").split(START)
    figures = json.loads(pathlib.Path(args.figures).read_text(encoding="utf-8"))
    card.write_text(f"{before}{START}\n\n{tables(figures)}\n\n{END}{rest.split(END)[1]}", encoding="utf-8")


if __name__ == "__main__":
    main()
