//! The rules of the tree, by which a reader can guess where a thing is: floors, sizes, and what
//! pure code may not touch. Each check is also shown a source that breaks it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// Imports go down, or stay on the floor and in the folder. The longest prefix counts.
const FLOORS: &[(&str, u8)] = &[
    ("args", 0),
    ("call", 0),
    ("clock", 0),
    ("error", 0),
    ("jsonl", 0),
    ("pool", 0),
    ("tape", 0),
    ("machine", 1),
    ("router::audit", 2),
    ("router::bucket", 2),
    ("router::compare", 2),
    ("router::draft", 2),
    ("router::flagd", 2),
    ("router::file", 2),
    ("router::guard", 2),
    ("router::paths", 2),
    ("router::percent", 2),
    ("router::pins", 2),
    ("router::policy", 2),
    ("router::ramp", 2),
    ("router::reader", 2),
    ("router::rules", 2),
    ("router::stage", 2),
    ("router::steer", 2),
    ("session::commands", 2),
    ("shadow::quota", 2),
    ("v2_session_pool::affinity", 2),
    ("v2_session_pool::config", 2),
    ("v2_session_pool::machine", 2),
    ("v3_pool::config", 2),
    ("v3_pool::machine", 2),
    ("worker::redaction", 2),
    ("config", 3),
    ("meter", 3),
    ("session", 3),
    ("worker", 3),
    ("shadow", 4),
    ("shell", 4),
    ("router", 5),
    ("v2_session_pool", 5),
    ("v3_pool", 5),
    ("report", 6),
    ("shim", 6),
    ("cli", 7),
];

/// The highest floor on which nothing reads a clock, draws, waits or does IO.
const PURE: u8 = 2;

/// What pure code may not name, and where it may all the same.
const IMPURE: [(&str, &[&str]); 10] = [
    ("tokio", &["clock"]),
    ("rand", &["call"]),
    ("notify", &[]),
    ("rustix", &[]),
    ("std::fs", &[]),
    ("std::net", &[]),
    ("std::process", &[]),
    ("std::thread", &["v3_pool::config"]),
    ("std::time::Instant", &[]),
    ("std::time::SystemTime", &["clock"]),
];

const MAX_FILE: usize = 400;
const MAX_FUNCTION: usize = 70;
const MAX_LINE: usize = 100;

/// A source file: its module path, as in `crate::…`, and its text.
struct Source {
    module: String,
    text: String,
}

impl Source {
    fn new(module: &str, text: &str) -> Self {
        Self { module: module.to_owned(), text: text.to_owned() }
    }

    fn syntax(&self) -> syn::File {
        syn::parse_file(&self.text).unwrap_or_else(|error| panic!("{}: {error}", self.module))
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files with this extension below a folder.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|end| end == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The library's and the tool's files by their modules; `mod.rs` is its folder.
fn library() -> Vec<Source> {
    let src = root().join("src");
    let sources = files(&src, "rs").into_iter().map(|path| {
        let module = path.strip_prefix(&src).unwrap().with_extension("");
        let module = module.to_str().unwrap().replace('/', "::");
        let module = module.strip_suffix("::mod").unwrap_or(&module);
        Source::new(module, &std::fs::read_to_string(&path).unwrap())
    });
    sources.filter(|source| !["lib", "main"].contains(&source.module.as_str())).collect()
}

fn begins_with(path: &str, prefix: &str) -> bool {
    path == prefix || path.strip_prefix(prefix).is_some_and(|rest| rest.starts_with("::"))
}

fn floor(module: &str) -> Option<u8> {
    let fitting = FLOORS.iter().filter(|(prefix, _)| begins_with(module, prefix));
    fitting.max_by_key(|(prefix, _)| prefix.len()).map(|(_, floor)| *floor)
}

/// Every path that a file names, in imports or in passing.
#[derive(Default)]
struct Paths(BTreeSet<String>);

impl Paths {
    fn of(source: &Source) -> BTreeSet<String> {
        let mut paths = Self::default();
        paths.visit_file(&source.syntax());
        paths.0
    }

    fn add_tree(&mut self, before: &str, tree: &syn::UseTree) {
        let join = |name: &dyn ToString| match before {
            "" => name.to_string(),
            before => format!("{before}::{}", name.to_string()),
        };
        match tree {
            syn::UseTree::Path(path) => self.add_tree(&join(&path.ident), &path.tree),
            syn::UseTree::Name(name) => drop(self.0.insert(join(&name.ident))),
            syn::UseTree::Rename(rename) => drop(self.0.insert(join(&rename.ident))),
            syn::UseTree::Glob(_) => drop(self.0.insert(before.to_owned())),
            syn::UseTree::Group(group) => {
                group.items.iter().for_each(|tree| self.add_tree(before, tree));
            }
        }
    }
}

impl<'ast> Visit<'ast> for Paths {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.add_tree("", &item.tree);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<String> = path.segments.iter().map(|part| part.ident.to_string()).collect();
        self.0.insert(names.join("::"));
        visit::visit_path(self, path);
    }
}

fn floor_problems(source: &Source) -> Vec<String> {
    let module = &source.module;
    let Some(own) = floor(module) else { return vec![format!("{module} is on no floor")] };
    let folder = module.split("::").next();
    let mut problems = Vec::new();
    for path in Paths::of(source) {
        let Some(target) = path.strip_prefix("crate::") else { continue };
        let Some(theirs) = floor(target) else { continue };
        let neighbours = target.split("::").next() == folder || own == 0;
        if theirs > own || theirs == own && !neighbours {
            problems.push(format!("{module} (floor {own}) names {path} (floor {theirs})"));
        }
    }
    for (one, other) in [("v2_session_pool", "v3_pool"), ("v3_pool", "v2_session_pool")] {
        if begins_with(module, one) && source.text.contains(other) {
            problems.push(format!("{module} names {other}"));
        }
    }
    problems
}

fn purity_problems(source: &Source) -> Vec<String> {
    let module = source.module.as_str();
    if floor(module).is_none_or(|floor| floor > PURE) {
        return Vec::new();
    }
    let mut problems = Vec::new();
    for path in Paths::of(source) {
        for (impure, but_in) in IMPURE {
            if begins_with(&path, impure) && !but_in.contains(&module) {
                problems.push(format!("{module} is pure and names {path}"));
            }
        }
    }
    problems
}

/// Functions, and the lines from each one's signature to its end.
#[derive(Default)]
struct Functions(Vec<(String, usize)>);

impl Functions {
    fn add(&mut self, signature: &syn::Signature, body: &syn::Block) {
        let lines = body.span().end().line - signature.span().start().line + 1;
        self.0.push((signature.ident.to_string(), lines));
    }
}

impl<'ast> Visit<'ast> for Functions {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.add(&item.sig, &item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.add(&item.sig, &item.block);
        visit::visit_impl_item_fn(self, item);
    }
}

fn size_problems(source: &Source) -> Vec<String> {
    let module = &source.module;
    let mut problems = line_problems(source);
    let mut functions = Functions::default();
    functions.visit_file(&source.syntax());
    for (name, lines) in functions.0 {
        if lines >= MAX_FUNCTION {
            problems.push(format!("{module}: {name} has {lines} lines"));
        }
    }
    problems
}

fn line_problems(source: &Source) -> Vec<String> {
    let module = &source.module;
    let mut problems = Vec::new();
    let lines = source.text.lines().count();
    if lines >= MAX_FILE {
        problems.push(format!("{module} has {lines} lines"));
    }
    for (index, line) in source.text.lines().enumerate() {
        let place = format!("{module}:{}", index + 1);
        if line.chars().count() > MAX_LINE {
            problems.push(format!("{place} is longer than {MAX_LINE}"));
        }
        let unfinished =
            [["TO", "DO"], ["FIX", "ME"]].iter().any(|word| line.contains(&word.concat()));
        if unfinished {
            problems.push(format!("{place}: do it, or say it in the note"));
        }
        let home = ["/ho", "me/"].concat();
        if line.contains(&home) || line.contains(&["/ro", "ot/"].concat()) {
            problems.push(format!("{place} names a path of one machine"));
        }
    }
    problems
}

/// Tests wait for conditions; what looks like waiting for time says what it is.
fn sleep_problems(source: &Source) -> Vec<String> {
    let sleeps = ["time::sle", "ep("].concat();
    let explained =
        |line: &str| line.contains("paused clock") || line.contains("polls a condition");
    let lines = source.text.lines().enumerate();
    let unexplained = lines.filter(|(_, line)| line.contains(&sleeps) && !explained(line));
    unexplained.map(|(index, _)| format!("{}:{} sleeps", source.module, index + 1)).collect()
}

fn unsafe_problems(source: &Source) -> Vec<String> {
    let allowed = source.module == "worker::process";
    let blocks = source.text.matches("unsafe {").count();
    match (allowed, blocks) {
        (true, 1) | (false, 0) => Vec::new(),
        _ => vec![format!("{} has {blocks} unsafe blocks", source.module)],
    }
}

fn assert_none(problems: &[String]) {
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

/// Everything in these folders that is written in Rust, by its path.
fn rust_in(folders: &[&str]) -> Vec<Source> {
    let paths = folders.iter().flat_map(|folder| files(&root().join(folder), "rs"));
    paths.map(|path| Source::new(path.to_str().unwrap(), &read(&path))).collect()
}

fn everything() -> Vec<Source> {
    rust_in(&["src", "tests", "sim", "benches", "fuzz/fuzz_targets"])
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn imports_go_down_the_floors() {
    assert_none(&library().iter().flat_map(floor_problems).collect::<Vec<_>>());

    let up = Source::new("machine::slot", "use crate::shell::Shell;");
    assert_eq!(floor_problems(&up).len(), 1);
    let beside = Source::new("worker::link", "fn f() { crate::meter::Meter::new(); }");
    assert_eq!(floor_problems(&beside).len(), 1);
    let grouped = Source::new("call", "use crate::{clock::Moment, router::{pins, policy}};");
    assert_eq!(floor_problems(&grouped).len(), 2);
    let across = Source::new("v3_pool::machine", "// as v2_session_pool does");
    assert_eq!(floor_problems(&across).len(), 1);
    assert_eq!(floor_problems(&Source::new("attic", "")).len(), 1);
}

#[test]
fn pure_floors_read_no_clock_and_do_no_io() {
    assert_none(&library().iter().flat_map(purity_problems).collect::<Vec<_>>());

    for bad in [
        "use std::time::{Duration, Instant};",
        "fn f() { std::fs::read(\"x\"); }",
        "use tokio::sync::Mutex;",
        "fn f() -> u64 { rand::random() }",
    ] {
        assert_eq!(purity_problems(&Source::new("machine::slot", bad)).len(), 1, "{bad}");
        assert!(purity_problems(&Source::new("shell::desk", bad)).is_empty(), "{bad}");
    }
}

#[test]
fn files_functions_and_lines_are_short() {
    assert_none(&everything().iter().flat_map(size_problems).collect::<Vec<_>>());
    let python = files(&root().join("python"), "py").into_iter();
    let python = python.map(|path| Source::new(path.to_str().unwrap(), &read(&path)));
    assert_none(&python.flat_map(|source| line_problems(&source)).collect::<Vec<_>>());

    let long_file = Source::new("a", &"//\n".repeat(MAX_FILE));
    assert_eq!(size_problems(&long_file).len(), 1);
    let long_function = format!("impl A {{ fn f() {{\n{}}} }}", "g();\n".repeat(MAX_FUNCTION));
    assert_eq!(size_problems(&Source::new("a", &long_function)).len(), 1);
    let long_line = format!("// {}", "x".repeat(MAX_LINE));
    assert_eq!(size_problems(&Source::new("a", &long_line)).len(), 1);
    assert_eq!(size_problems(&Source::new("a", &["// TO", "DO"].concat())).len(), 1);
}

#[test]
fn nothing_sleeps_for_time_and_only_one_place_is_unsafe() {
    // Fake workers do sleep: that is their work.
    let waiting = rust_in(&["src", "tests", "benches"]);
    assert_none(&waiting.iter().flat_map(sleep_problems).collect::<Vec<_>>());
    assert_none(&library().iter().flat_map(unsafe_problems).collect::<Vec<_>>());

    let sleeps = ["tokio::time::sle", "ep(LONG).await;"].concat();
    assert_eq!(sleep_problems(&Source::new("a", &sleeps)).len(), 1);
    assert_eq!(unsafe_problems(&Source::new("shell", "unsafe { f() }")).len(), 1);
}

#[test]
fn the_tree_is_the_customers_and_names_say_something() {
    for name in ["Cargo.toml", "src/v2_session_pool", "src/v3_pool", "src/router", "sim", "tests"] {
        assert!(root().join(name).exists(), "{name}");
    }
    let vague = ["utils", "util", "common", "inner", "helpers", "misc"];
    for path in everything().iter().map(|source| source.module.as_str()) {
        let stem = Path::new(path).file_stem().unwrap().to_str().unwrap();
        assert!(!vague.contains(&stem), "{path}");
    }
}

#[test]
fn each_rule_has_a_test_that_names_it() {
    let text: String = everything().iter().map(|source| source.text.as_str()).collect();
    let missing: Vec<u8> = (1..=14)
        .filter(|rule| {
            let named = |name: &&str| name.split('_').any(|part| part == format!("r{rule}"));
            let functions = text.split("fn ").skip(1);
            !functions.filter_map(|rest| rest.split('(').next()).any(|name| named(&name))
        })
        .collect();
    assert!(missing.is_empty(), "no test names {missing:?}");
}
