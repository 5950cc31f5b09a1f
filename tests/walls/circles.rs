//! Circles between the core's files: which module names which, through `use`, paths and re-exports, and which of them
//! depend on each other.
//!
//! A module and the modules below it are one unit: they may name each other. Two modules that stand side by side may not,
//! nor may anything below them. So every room, and every module inside a room, can be read from the bottom up.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::Visit;

use super::{Source, for_tests};

/// The names from the crate's root to a module.
type Path = Vec<String>;

/// The names that one module uses.
#[derive(Default)]
struct Module {
    /// Each imported name with the path that it stands for.
    imports: BTreeMap<String, Path>,
    /// Every path that is written in it.
    paths: BTreeSet<Path>,
}

/// The modules of a crate.
#[derive(Default)]
pub struct Modules {
    all: BTreeMap<Path, Module>,
    /// Those that only test builds have.
    tests: BTreeSet<Path>,
}

impl Modules {
    /// Reads the modules of `sources`, the files of a crate whose root stands in `folder`, test modules left out.
    pub fn read(folder: &str, sources: &[Source]) -> Modules {
        let mut modules = Modules::default();
        for source in sources.iter().filter(|source| !source.is_test()) {
            let mut reader = Reader {
                at: module_of(source.path.trim_start_matches(folder)),
                modules: &mut modules,
            };
            reader.enter();
            reader.visit_file(&source.syntax());
        }
        let tests = std::mem::take(&mut modules.tests);
        let is_test = |module: &Path| tests.iter().any(|test| module.starts_with(test));
        modules.all.retain(|module, _| !is_test(module));
        modules
    }

    /// The module that `path` leads to from module `at`, re-exports followed; `None` where it leaves the crate.
    fn resolve(&self, at: &Path, path: &[String], depth: usize) -> Option<Path> {
        let (first, mut rest) = path.split_first()?;
        if depth > 8 {
            return None;
        }
        let below = [at.as_slice(), std::slice::from_ref(first)].concat();
        let mut module = match first.as_str() {
            "crate" => Vec::new(),
            "self" => at.clone(),
            "super" => {
                let ups = path.iter().take_while(|name| *name == "super").count();
                rest = path.get(ups..)?;
                at.get(..at.len().checked_sub(ups)?)?.to_vec()
            }
            _ if self.all.contains_key(&below) => below,
            _ => {
                let import = self.all.get(at)?.imports.get(first)?;
                let whole = [import.as_slice(), rest].concat();
                return match import == path {
                    true => None,
                    false => self.resolve(at, &whole, depth + 1),
                };
            }
        };
        while let Some((name, after)) = rest.split_first() {
            let below = [module.as_slice(), std::slice::from_ref(name)].concat();
            if !self.all.contains_key(&below) {
                let import = self.all.get(&module).and_then(|it| it.imports.get(name));
                let whole = import.map(|import| [import.as_slice(), after].concat());
                let found = whole.and_then(|whole| self.resolve(&module, &whole, depth + 1));
                return Some(found.unwrap_or(module));
            }
            (module, rest) = (below, after);
        }
        Some(module)
    }

    /// Every circle between modules that stand side by side, each with a path for each of its arrows.
    pub fn circles(&self) -> Vec<Circle> {
        let mut arrows: BTreeMap<(Path, Path), String> = BTreeMap::new();
        for (at, module) in &self.all {
            for path in &module.paths {
                let Some(target) = self.resolve(at, path, 0) else {
                    continue;
                };
                let shared = at.iter().zip(&target).take_while(|(a, b)| a == b).count();
                // INVARIANT: where neither holds the other, both have a name behind what they share.
                if at.len() > shared && target.len() > shared {
                    let side = |module: &Path| module.iter().take(shared + 1).cloned().collect();
                    let why = format!("{} names {}", at.join("::"), path.join("::"));
                    arrows.entry((side(at), side(&target))).or_insert(why);
                }
            }
        }
        let mut next: BTreeMap<&Path, Vec<&Path>> = BTreeMap::new();
        for (from, to) in arrows.keys() {
            next.entry(from).or_default().push(to);
        }
        let reached = next.keys().map(|from| (*from, reachable(&next, from)));
        let reached: BTreeMap<&Path, BTreeSet<&Path>> = reached.collect();
        let reaches = |from: &Path, to: &Path| reached.get(from).is_some_and(|it| it.contains(to));
        let mut found: Vec<Circle> = Vec::new();
        for module in next.keys() {
            let is_known = found.iter().any(|circle| circle.modules.contains(*module));
            if is_known || !reaches(module, module) {
                continue;
            }
            let modules = reached
                .keys()
                .filter(|other| reaches(module, other) && reaches(other, module));
            let modules: BTreeSet<Path> = modules.map(|other| (*other).clone()).collect();
            let inside = |(from, to): &(Path, Path)| modules.contains(from) && modules.contains(to);
            let arrows = arrows.iter().filter(|(arrow, _)| inside(arrow));
            found.push(Circle {
                arrows: arrows.map(|(_, why)| why.clone()).collect(),
                modules,
            });
        }
        found
    }
}

/// Modules that depend on each other.
pub struct Circle {
    modules: BTreeSet<Path>,
    arrows: Vec<String>,
}

impl Circle {
    /// The modules, each as `room::module`.
    pub fn names(&self) -> Vec<String> {
        self.modules
            .iter()
            .map(|module| module.join("::"))
            .collect()
    }

    /// The names and a path for each arrow.
    pub fn describe(&self) -> String {
        format!(
            "{}:\n  {}",
            self.names().join(", "),
            self.arrows.join("\n  ")
        )
    }
}

/// Every module that arrows lead to from `start`; `start` itself only if it stands on a circle.
fn reachable<'p>(next: &BTreeMap<&'p Path, Vec<&'p Path>>, start: &Path) -> BTreeSet<&'p Path> {
    let mut found = BTreeSet::new();
    let mut open = vec![start];
    while let Some(module) = open.pop() {
        for to in next.get(module).into_iter().flatten() {
            if found.insert(*to) {
                open.push(to);
            }
        }
    }
    found
}

/// The module of a file of a crate: `/a/b.rs` and `/a/b/mod.rs` are `a::b`, `/lib.rs` and `/main.rs` the root.
fn module_of(path: &str) -> Path {
    let path = path.trim_start_matches('/').trim_end_matches(".rs");
    let names = path.trim_end_matches("/mod").split('/');
    let names = names.filter(|name| !["lib", "main"].contains(name));
    names.map(str::to_owned).collect()
}

/// Collects what the modules of one file name.
struct Reader<'m> {
    modules: &'m mut Modules,
    at: Path,
}

impl Reader<'_> {
    fn enter(&mut self) -> &mut Module {
        self.modules.all.entry(self.at.clone()).or_default()
    }

    fn import(&mut self, tree: &syn::UseTree, mut before: Path) {
        match tree {
            syn::UseTree::Path(path) => {
                before.push(path.ident.to_string());
                self.import(&path.tree, before);
            }
            syn::UseTree::Group(group) => {
                for tree in &group.items {
                    self.import(tree, before.clone());
                }
            }
            syn::UseTree::Glob(_) => drop(self.enter().paths.insert(before)),
            syn::UseTree::Name(name) => self.import_as(&name.ident, &name.ident, before),
            syn::UseTree::Rename(rename) => self.import_as(&rename.ident, &rename.rename, before),
        }
    }

    fn import_as(&mut self, name: &syn::Ident, alias: &syn::Ident, mut path: Path) {
        let mut alias = alias.to_string();
        if name != "self" {
            path.push(name.to_string());
        } else if alias == "self" {
            alias = path.last().cloned().unwrap_or_default();
        }
        let module = self.enter();
        module.paths.insert(path.clone());
        module.imports.insert(alias, path);
    }

    /// The paths in the tokens of a macro's call.
    fn scan(&mut self, tokens: TokenStream) {
        let mut path = Path::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(ident) => {
                    if colons != 2 {
                        self.enter().paths.insert(std::mem::take(&mut path));
                    }
                    path.push(ident.to_string());
                    colons = 0;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                other => {
                    self.enter().paths.insert(std::mem::take(&mut path));
                    colons = 0;
                    if let TokenTree::Group(group) = other {
                        self.scan(group.stream());
                    }
                }
            }
        }
        self.enter().paths.insert(path);
    }
}

impl Visit<'_> for Reader<'_> {
    fn visit_item_mod(&mut self, item: &syn::ItemMod) {
        self.at.push(item.ident.to_string());
        if for_tests(&item.attrs) {
            self.modules.tests.insert(self.at.clone());
        } else if item.content.is_some() {
            self.enter();
            syn::visit::visit_item_mod(self, item);
        }
        self.at.pop();
    }

    fn visit_item_use(&mut self, item: &syn::ItemUse) {
        if !for_tests(&item.attrs) {
            self.import(&item.tree, Path::new());
        }
    }

    fn visit_path(&mut self, path: &syn::Path) {
        let names = path
            .segments
            .iter()
            .map(|segment| segment.ident.to_string());
        let names: Path = names.collect();
        // A single name was imported, or stands in this module.
        if names.len() > 1 {
            self.enter().paths.insert(names);
        }
        syn::visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &syn::Macro) {
        self.scan(call.tokens.clone());
        syn::visit::visit_macro(self, call);
    }

    /// The path of a visibility is no use of a module.
    fn visit_visibility(&mut self, _: &syn::Visibility) {}
}
