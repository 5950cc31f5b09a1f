//! The walls between the modules, read off the sources: who may name tract and the proxy's ABI, which way the core's
//! modules may point, and how long a file or a function may be.
//!
//! The test reads tokens and syntax trees, so comments, documentation and strings never count. Which crate may
//! use which is read off the manifests.

#![cfg(not(target_family = "wasm"))]
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "walls/circles.rs"]
mod circles;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use circles::Modules;
use proc_macro2::{Span, TokenStream, TokenTree};
use syn::spanned::Spanned;
use syn::visit::Visit;

/// The core's rooms from the bottom up: each may name only those before it.
const ORDER: &[&str] = &[
    "base64",
    "decimal",
    "fnv",
    "sort",
    "schema",
    "api",
    "analysis",
    "fleet",
    "policy",
    "state",
    "routing",
    "telemetry",
    "exchange",
    "control",
];

const MAX_FILE_LINES: usize = 600;
const MAX_FUNCTION_LINES: usize = 60;

/// A source file, read once.
struct Source {
    /// Path from the repository's root, with `/`.
    path: String,
    text: String,
}

impl Source {
    fn tokens(&self) -> TokenStream {
        self.text
            .parse()
            .unwrap_or_else(|error| panic!("{}: {error}", self.path))
    }

    fn syntax(&self) -> syn::File {
        syn::parse_file(&self.text).unwrap_or_else(|error| panic!("{}: {error}", self.path))
    }

    /// Whether the whole file is tests: the module of one, or an integration test.
    fn is_test(&self) -> bool {
        self.path.ends_with("/tests.rs") || self.path.split('/').any(|part| part == "tests")
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file below `folder` of the repository, in the order of their paths.
fn sources(folder: &str) -> Vec<Source> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        let Ok(entries) = fs::read_dir(folder) else {
            return;
        };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let mut paths = Vec::new();
    walk(&root().join(folder), &mut paths);
    paths.sort();
    paths
        .into_iter()
        .map(|path| Source {
            text: fs::read_to_string(&path).unwrap(),
            path: path
                .strip_prefix(root())
                .unwrap()
                .to_str()
                .unwrap()
                .replace('\\', "/"),
        })
        .collect()
}

/// Whether an identifier that `wanted` accepts stands anywhere in `tokens`.
fn names(tokens: TokenStream, wanted: &impl Fn(&str) -> bool) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Group(group) => names(group.stream(), wanted),
        TokenTree::Ident(ident) => wanted(&ident.to_string()),
        TokenTree::Punct(_) | TokenTree::Literal(_) => false,
    })
}

/// The first names behind `crate::` in `tokens`: of `crate::a::B` that is `a`, of `crate::{a, b::C}` `a` and `b`. `super::`
/// counts as `crate::` where it leads there: from `depth` modules below the crate's root.
fn arrows(tokens: TokenStream, depth: usize, found: &mut BTreeSet<String>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let ident = |at: usize| match tokens.get(at) {
        Some(TokenTree::Ident(ident)) => Some(ident.to_string()),
        _ => None,
    };
    let colons = |at: usize| {
        [at, at + 1].iter().all(
            |&at| matches!(tokens.get(at), Some(TokenTree::Punct(punct)) if punct.as_char() == ':'),
        )
    };
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        if let TokenTree::Group(group) = token {
            let inline = at >= 2 && ident(at - 2).is_some_and(|word| word == "mod");
            arrows(group.stream(), depth + usize::from(inline), found);
        }
        let mut up = 0;
        while ident(at + 3 * up).is_some_and(|word| word == "super") && colons(at + 3 * up + 1) {
            up += 1;
        }
        let crate_ = ident(at).is_some_and(|word| word == "crate") && colons(at + 1);
        let after = at + 3 * up.max(1);
        if crate_ || (up > 0 && up == depth) {
            first_names(tokens.get(after), found);
        }
        at = if crate_ || up > 0 { after } else { at + 1 };
    }
}

/// The names in `token` behind a path's start: itself, or the first word of each part of a `{…}` list.
fn first_names(token: Option<&TokenTree>, found: &mut BTreeSet<String>) {
    match token {
        Some(TokenTree::Ident(ident)) => {
            found.insert(ident.to_string());
        }
        Some(TokenTree::Group(group)) => {
            let mut fresh = true;
            for part in group.stream() {
                match part {
                    TokenTree::Ident(ident) if fresh => {
                        found.insert(ident.to_string());
                        fresh = false;
                    }
                    TokenTree::Punct(punct) if punct.as_char() == ',' => fresh = true,
                    _ => fresh = false,
                }
            }
        }
        _ => {}
    }
}

/// How many modules below the crate's root a file of `src/` is: `src/a.rs` and `src/a/mod.rs` 1, `src/a/b.rs` 2.
fn depth_of(path: &str) -> usize {
    path.trim_start_matches("src/")
        .trim_end_matches(".rs")
        .trim_end_matches("/mod")
        .split('/')
        .count()
}

#[test]
fn only_one_file_of_the_core_names_tract() {
    let offenders: Vec<String> = sources("src")
        .into_iter()
        .chain(sources("crates/filter"))
        .chain(
            ["cli", "eval", "lab"]
                .iter()
                .flat_map(|name| sources(&format!("crates/{name}"))),
        )
        .filter(|source| !source.path.starts_with("src/analysis/classifier/onnx"))
        .filter(|source| names(source.tokens(), &|word| word.starts_with("tract")))
        .map(|source| source.path)
        .collect();
    assert!(
        offenders.is_empty(),
        "only src/analysis/classifier/onnx.rs may name tract, but so do {offenders:?}"
    );
}

#[test]
fn only_the_filter_names_the_proxy() {
    let offenders: Vec<String> = sources("src")
        .into_iter()
        .chain(sources("crates"))
        .filter(|source| !source.path.starts_with("crates/filter/"))
        .filter(|source| names(source.tokens(), &|word| word == "proxy_wasm"))
        .map(|source| source.path)
        .collect();
    assert!(
        offenders.is_empty(),
        "only crates/filter may name proxy_wasm, but so do {offenders:?}"
    );
}

/// The crates of the repository that each of them may use outside its tests.
const CRATES: &[(&str, &[&str])] = &[
    ("cli", &["pointsman", "pointsman-eval"]),
    ("eval", &["pointsman"]),
    ("filter", &["pointsman"]),
    ("harness", &["pointsman"]),
    ("kernels", &[]),
    (
        "lab",
        &[
            "pointsman",
            "pointsman-cli",
            "pointsman-eval",
            "pointsman-harness",
        ],
    ),
    ("wasmtest", &[]),
];

/// The crates of this repository in the table `dependencies` of a manifest.
fn own_dependencies(manifest: &str) -> Vec<&str> {
    let mut table = "";
    let mut found = Vec::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            table = line;
        } else if table == "[dependencies]" && line.starts_with("pointsman") {
            found.extend(line.split([' ', '.', '=']).next());
        }
    }
    found
}

#[test]
fn crates_use_only_those_below_them() {
    let mut problems = Vec::new();
    for entry in fs::read_dir(root().join("crates")).unwrap() {
        let folder = entry.unwrap().path();
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        let Some((_, allowed)) = CRATES.iter().find(|(known, _)| *known == name) else {
            problems.push(format!("crates/{name} has no place in CRATES"));
            continue;
        };
        let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        for used in own_dependencies(&manifest) {
            if !allowed.contains(&used) {
                problems.push(format!("crates/{name} must not use {used}"));
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn arrows_point_down() {
    let rank = |name: &str| ORDER.iter().position(|module| *module == name);
    let mut problems = Vec::new();
    for source in sources("src") {
        let module = source
            .path
            .trim_start_matches("src/")
            .split(['/', '.'])
            .next()
            .unwrap()
            .to_owned();
        if module == "lib" || source.is_test() {
            continue;
        }
        let Some(own) = rank(&module) else {
            problems.push(format!("{}: `{module}` has no place in ORDER", source.path));
            continue;
        };
        let mut found = BTreeSet::new();
        arrows(shipped(&source), depth_of(&source.path), &mut found);
        for target in found {
            // A name that is no module is one that lib.rs offers.
            let Some(other) = rank(&target) else { continue };
            if other <= own {
                continue;
            }
            problems.push(format!(
                "{}: `{module}` is below `{target}` and must not name it",
                source.path
            ));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn modules_form_no_circle() {
    let mut problems = Vec::new();
    for name in ["", "cli", "eval", "filter", "harness", "kernels", "lab"] {
        let folder = match name {
            "" => "src".to_owned(),
            name => format!("crates/{name}/src"),
        };
        let sources = sources(&folder);
        assert!(!sources.is_empty(), "no sources in {folder}");
        let circles = Modules::read(&folder, &sources).circles();
        problems.extend(
            circles
                .iter()
                .map(|circle| format!("{folder}: {}", circle.describe())),
        );
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// The tokens of `source` without its test modules: a test may look at anything.
fn shipped(source: &Source) -> TokenStream {
    let tests = test_lines(&source.syntax());
    fn strip(tokens: TokenStream, tests: &[(usize, usize)]) -> TokenStream {
        tokens
            .into_iter()
            .filter(|token| {
                let line = token.span().start().line;
                !tests.iter().any(|(from, to)| (*from..=*to).contains(&line))
            })
            .map(|token| match token {
                TokenTree::Group(group) => TokenTree::Group(proc_macro2::Group::new(
                    group.delimiter(),
                    strip(group.stream(), tests),
                )),
                other => other,
            })
            .collect()
    }
    strip(source.tokens(), &tests)
}

fn lines(span: Span) -> (usize, usize) {
    (span.start().line, span.end().line)
}

/// First and last line of every item that only test builds have.
fn test_lines(file: &syn::File) -> Vec<(usize, usize)> {
    struct Tests(Vec<(usize, usize)>);
    impl Visit<'_> for Tests {
        fn visit_item_mod(&mut self, item: &syn::ItemMod) {
            if for_tests(&item.attrs) {
                self.0.push(lines(item.span()));
            } else {
                syn::visit::visit_item_mod(self, item);
            }
        }
    }
    let mut tests = Tests(Vec::new());
    tests.visit_file(file);
    tests.0
}

/// Whether `#[cfg(test)]`, or a `cfg` that asks for it among other things, stands among `attributes`.
fn for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && matches!(&attribute.meta, syn::Meta::List(list)
                if names(list.tokens.clone(), &|word| word == "test")
                    && !names(list.tokens.clone(), &|word| word == "not"))
    })
}

/// Every function outside tests that is too long, with its lines.
struct LongFunctions {
    found: Vec<(String, usize)>,
}

impl LongFunctions {
    fn measure(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let (from, _) = lines(signature.span());
        let (_, to) = lines(block.span());
        let length = to - from + 1;
        if length > MAX_FUNCTION_LINES {
            self.found.push((signature.ident.to_string(), length));
        }
    }
}

impl Visit<'_> for LongFunctions {
    fn visit_item_mod(&mut self, item: &syn::ItemMod) {
        if !for_tests(&item.attrs) {
            syn::visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_fn(&mut self, item: &syn::ItemFn) {
        self.measure(&item.sig, &item.block);
        syn::visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &syn::ImplItemFn) {
        self.measure(&item.sig, &item.block);
        syn::visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.measure(&item.sig, block);
        }
        syn::visit::visit_trait_item_fn(self, item);
    }
}

#[test]
fn files_and_functions_stay_short() {
    let mut problems = Vec::new();
    for source in sources("src").into_iter().chain(sources("crates")) {
        if source.is_test() {
            continue;
        }
        let syntax = source.syntax();
        let tests: usize = test_lines(&syntax)
            .iter()
            .map(|(from, to)| to - from + 1)
            .sum();
        let length = source.text.lines().count() - tests;
        if length > MAX_FILE_LINES {
            problems.push(format!(
                "{}: {length} lines outside tests, {MAX_FILE_LINES} allowed",
                source.path
            ));
        }
        let mut functions = LongFunctions { found: Vec::new() };
        functions.visit_file(&syntax);
        for (name, length) in functions.found {
            problems.push(format!(
                "{}: `{name}` has {length} lines, {MAX_FUNCTION_LINES} allowed",
                source.path
            ));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn every_file_opens_with_what_it_is() {
    let offenders: Vec<String> = ["src", "crates", "tests"]
        .iter()
        .flat_map(|folder| sources(folder))
        .filter(|source| !source.text.starts_with("//!") && !source.path.ends_with("/tests.rs"))
        .map(|source| source.path)
        .collect();
    assert!(offenders.is_empty(), "no `//!` at the top of {offenders:?}");
}

/// The checks above find what they are for: a check that can see nothing would pass for ever.
mod the_checks_themselves {
    use super::*;

    fn found(text: &str, depth: usize) -> Vec<String> {
        let mut found = BTreeSet::new();
        arrows(text.parse().unwrap(), depth, &mut found);
        found.into_iter().collect()
    }

    #[test]
    fn arrows_are_found_however_they_are_written() {
        assert_eq!(found("use crate::routing::router::Router;", 1), ["routing"]);
        assert_eq!(
            found("use crate::{select::{a, b}, policy};", 1),
            ["policy", "select"]
        );
        assert_eq!(
            found("fn f() { crate::state::backend_stats::now() }", 2),
            ["state"]
        );
        assert_eq!(found("use super::routing::Router;", 1), ["routing"]);
        assert_eq!(found("use super::sibling;", 2), [""; 0]);
        assert_eq!(found("use super::super::stream;", 2), ["stream"]);
        assert_eq!(
            found("mod inner { use super::super::stream; }", 1),
            ["stream"]
        );
        assert_eq!(found("mod inner { use super::own; }", 1), [""; 0]);
        assert_eq!(
            found("pub(crate) fn f() {} /* crate::routing::router */", 1),
            [""; 0]
        );
        assert_eq!(
            found("/// See [`crate::routing::router`].\nfn f() {}", 1),
            [""; 0]
        );
    }

    fn circles(files: &[(&str, &str)]) -> Vec<Vec<String>> {
        let sources: Vec<Source> = files
            .iter()
            .map(|(path, text)| Source {
                path: format!("src/{path}"),
                text: (*text).into(),
            })
            .collect();
        let circles = Modules::read("src", &sources).circles();
        circles.iter().map(circles::Circle::names).collect()
    }

    #[test]
    fn circles_are_found_through_paths_imports_and_re_exports() {
        let lib = ("lib.rs", "pub mod a;\npub mod b;\npub use b::Thing;");
        let down = ("b.rs", "pub struct Thing;");
        let up = ("b.rs", "use super::a::Other;\npub struct Thing;");
        for uses in [
            "use crate::b::Thing;",
            "use crate::{b::Thing};",
            "use crate::b;\nfn f() -> b::Thing {}",
            "fn f() { g!(1, crate::b::Thing); }",
            "use crate::Thing;",
            "use super::b::*;",
            "mod inner { use super::super::b::Thing; }",
        ] {
            let file = ("a.rs", uses);
            assert_eq!(circles(&[lib, file, down]), [[""; 0]; 0], "{uses}");
            assert_eq!(circles(&[lib, file, up]), [["a", "b"]], "{uses}");
        }
        // Deeper down, and by way of the parent.
        let room = (
            "b/mod.rs",
            "mod x;\nmod y;\npub use y::Y;\npub const SIZE: usize = 1;",
        );
        let x = ("b/x.rs", "use super::{SIZE, Y};");
        assert_eq!(
            circles(&[lib, room, x, ("b/y.rs", "use super::SIZE;")]),
            [[""; 0]; 0]
        );
        let y = ("b/y.rs", "fn f() { super::x::g() }");
        assert_eq!(circles(&[lib, room, x, y]), [["b::x", "b::y"]]);
    }

    #[test]
    fn tests_may_close_a_circle() {
        let a = ("a.rs", "use crate::b::Thing;");
        let b = (
            "b.rs",
            "#[cfg(test)]\nmod tests { use crate::a; }\n#[cfg(test)]\nmod helpers;",
        );
        assert_eq!(
            circles(&[a, b, ("b/helpers.rs", "use crate::a;")]),
            [[""; 0]; 0]
        );
    }

    #[test]
    fn names_are_found_inside_groups_but_not_in_text() {
        let tract = |text: &str| names(text.parse().unwrap(), &|word| word.starts_with("tract"));
        assert!(tract("fn f() { g(tract_core::x()) }"));
        assert!(tract("use tract_onnx as onnx;"));
        assert!(!tract("/// tract runs it\nfn f() { g(\"tract\") }"));
        assert!(!tract("fn extract() {}"));
    }

    #[test]
    fn own_dependencies_are_those_that_ship() {
        let manifest = "[package]\nname = \"pointsman-x\"\n[dependencies]\npointsman = { path = \"..\" }\n\
                        pointsman-eval.workspace = true\nserde = \"1\"\n[dev-dependencies]\npointsman-lab = \"1\"\n";
        assert_eq!(own_dependencies(manifest), ["pointsman", "pointsman-eval"]);
    }

    #[test]
    fn test_modules_are_left_out() {
        let source = Source {
            path: "src/x.rs".into(),
            text: "use crate::a;\n#[cfg(test)]\nmod tests {\n use crate::b;\n}\n".into(),
        };
        let mut found = BTreeSet::new();
        arrows(shipped(&source), 1, &mut found);
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["a"]);
    }

    #[test]
    fn long_functions_are_found() {
        let body = "    let _ = 0;\n".repeat(MAX_FUNCTION_LINES - 2);
        let mut functions = LongFunctions { found: Vec::new() };
        functions.visit_file(&syn::parse_file(&format!("fn fits() {{\n{body}}}")).unwrap());
        assert_eq!(functions.found, []);
        functions.visit_file(&syn::parse_file(&format!("fn long() {{\n{body}\n}}")).unwrap());
        assert_eq!(
            functions.found,
            [("long".to_owned(), MAX_FUNCTION_LINES + 1)]
        );
    }
}
