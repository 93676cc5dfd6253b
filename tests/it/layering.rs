//! Who may import whom. One package has no walls between crates, so this is the wall.
//!
//! [`ROOMS`] is the only place that decides it; `src/lib.rs` and ARCHITECTURE.md are held to it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use syn::{Item, UseTree, Visibility};

use crate::paths::{self, Target};

/// A room and what it may import.
struct Room {
    name: &'static str,
    imports: Imports,
    /// Synchronous, without IO, clocks or logging: same input, same output.
    pure: bool,
}

enum Imports {
    Only(&'static [&'static str]),
    AllAboveBut(&'static [&'static str]),
}
use Imports::{AllAboveBut, Only};

const fn pure(name: &'static str, imports: &'static [&'static str]) -> Room {
    Room { name, imports: Only(imports), pure: true }
}

const fn edge(name: &'static str, imports: Imports) -> Room {
    Room { name, imports, pure: false }
}

/// Foundations first. A change here is a design decision and shows up as one in review.
const ROOMS: &[Room] = &[
    edge("units", Only(&[])),
    edge("telemetry", Only(&["units"])),
    edge("store", Only(&["units"])),
    pure("record", &["units"]),
    pure("oip", &["units", "record"]),
    edge("tap", Only(&["units", "record", "oip"])),
    pure("resp", &[]),
    edge("client", Only(&["units", "record"])),
    pure("sketch", &["units", "record"]),
    pure("profile", &["units", "record", "sketch"]),
    pure("baseline", &["units", "record", "sketch", "profile"]),
    pure("detect", &["units", "record", "sketch", "profile", "baseline"]),
    edge("alert", Only(&["units", "telemetry", "detect"])),
    edge("oracle", Only(&["units", "record", "oip", "tap", "detect", "alert"])),
    pure("slo", &["units", "record"]),
    edge("chaos", Only(&["units", "resp"])),
    pure("verdict", &["units", "record", "alert", "slo", "chaos"]),
    edge("scene", Only(&["units", "record", "oip", "resp", "client", "chaos"])),
    edge("service", AllAboveBut(&["scene"])),
    edge(
        "api",
        Only(&[
            "units",
            "telemetry",
            "record",
            "tap",
            "baseline",
            "detect",
            "alert",
            "slo",
            "chaos",
            "verdict",
            "service",
        ]),
    ),
    edge("lab", AllAboveBut(&[])),
    edge("config", Only(&["units", "telemetry", "tap", "baseline", "detect", "alert", "oracle", "slo"])),
    edge("cli", AllAboveBut(&[])),
];

/// What no pure room may name: the runtime, the network, the disk, the log and the clock.
const IMPURE: &[&[&str]] = &[
    &["tokio"],
    &["axum"],
    &["reqwest"],
    &["tracing"],
    &["std", "fs"],
    &["std", "net"],
    &["std", "process"],
    &["std", "time", "Instant"],
    &["std", "time", "SystemTime"],
];

impl Room {
    fn find(name: &str) -> Option<&'static Self> {
        ROOMS.iter().find(|room| room.name == name)
    }

    fn above(&self) -> impl Iterator<Item = &'static str> {
        ROOMS.iter().map(|room| room.name).take_while(|name| *name != self.name)
    }

    fn may_import(&self, other: &str) -> bool {
        match self.imports {
            Only(rooms) => rooms.contains(&other),
            AllAboveBut(rooms) => self.above().any(|name| name == other) && !rooms.contains(&other),
        }
    }

    /// As ARCHITECTURE.md writes it.
    fn imports_in_words(&self) -> String {
        match self.imports {
            Only([]) => "–".to_owned(),
            Only(rooms) => rooms.join(", "),
            AllAboveBut([]) => "all above".to_owned(),
            AllAboveBut(rooms) => format!("all above but {}", rooms.join(", ")),
        }
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Everything in `src/` but the two crate roots.
fn rooms_on_disk() -> BTreeSet<String> {
    let entries = std::fs::read_dir(root().join("src")).expect("src can be read");
    let names = entries.map(|entry| entry.expect("src can be listed").path());
    names
        .filter(|path| path.is_dir() || path.extension().is_some_and(|e| e == "rs"))
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .filter(|name| name != "lib" && name != "main")
        .collect()
}

/// The names through which others may enter a room, and what is wrong with its entry.
#[derive(Default)]
struct Entry {
    shows: BTreeSet<String>,
    /// Modules in files of their own: the inside of the room, whatever their visibility.
    inside: BTreeSet<String>,
    wrong: Vec<String>,
}

impl Entry {
    fn of(file: &syn::File) -> Self {
        let mut entry = Self::default();
        for item in &file.items {
            entry.add(item);
        }
        entry
    }

    fn add(&mut self, item: &Item) {
        let (vis, name) = match item {
            Item::Use(i) if is_open(&i.vis) => return self.add_use(&i.tree),
            Item::Mod(i) if i.content.is_none() => return self.add_module(i),
            Item::Mod(i) => (&i.vis, &i.ident),
            Item::Const(i) => (&i.vis, &i.ident),
            Item::Static(i) => (&i.vis, &i.ident),
            Item::Enum(i) => (&i.vis, &i.ident),
            Item::Struct(i) => (&i.vis, &i.ident),
            Item::Union(i) => (&i.vis, &i.ident),
            Item::Trait(i) => (&i.vis, &i.ident),
            Item::Type(i) => (&i.vis, &i.ident),
            Item::Fn(i) => (&i.vis, &i.sig.ident),
            _ => return,
        };
        if is_open(vis) {
            self.shows.insert(name.to_string());
        }
    }

    fn add_module(&mut self, module: &syn::ItemMod) {
        self.inside.insert(module.ident.to_string());
        if is_open(&module.vis) && !paths::is_test_only(&module.attrs) {
            self.wrong.push(format!("`pub mod {};` is a second entry: make it private", module.ident));
        }
    }

    /// A module and a function may share a name: then the path means the function.
    fn hides(&self, name: &str) -> bool {
        self.inside.contains(name) && !self.shows.contains(name)
    }

    fn add_use(&mut self, tree: &UseTree) {
        match tree {
            UseTree::Path(path) => self.add_use(&path.tree),
            UseTree::Group(group) => group.items.iter().for_each(|item| self.add_use(item)),
            UseTree::Name(name) => drop(self.shows.insert(name.ident.to_string())),
            UseTree::Rename(rename) => drop(self.shows.insert(rename.rename.to_string())),
            UseTree::Glob(_) => self.wrong.push("`pub use …::*` hides what it shows: list it".to_owned()),
        }
    }
}

fn is_open(vis: &Visibility) -> bool {
    match vis {
        Visibility::Public(_) => true,
        Visibility::Restricted(within) => within.path.is_ident("crate"),
        Visibility::Inherited => false,
    }
}

/// What is wrong with one path that `room` names, if anything.
fn objection(room: &Room, target: &Target, entries: &BTreeMap<String, Entry>) -> Option<String> {
    let (other, rest) = match target {
        Target::Elsewhere(path) => return impurity(room, path),
        Target::Here(path) => match path.split_first() {
            None => return Some("names the crate's root, which is no room".to_owned()),
            Some((other, _)) if other == room.name => return None,
            Some((other, rest)) => (other, rest),
        },
    };
    if !room.may_import(other) {
        return Some(format!("imports `{other}`; may import: {}", room.imports_in_words()));
    }
    let name = rest.first()?;
    if room.pure && other == "units" && name == "Clock" {
        return Some("reads a clock, and is a pure room".to_owned());
    }
    let hidden = entries.get(other).is_some_and(|entry| entry.hides(name));
    hidden.then(|| format!("reaches past the entry of `{other}` to `{name}`"))
}

fn impurity(room: &Room, path: &[String]) -> Option<String> {
    let is_impure = |banned: &&&[&str]| path.iter().take(banned.len()).eq(banned.iter());
    let banned = IMPURE.iter().find(is_impure).filter(|_| room.pure)?;
    Some(format!("names `{}`, and is a pure room", banned.join("::")))
}

fn entries() -> BTreeMap<String, Entry> {
    let src = root().join("src");
    let files = rooms_on_disk().into_iter().filter_map(|room| {
        let file = paths::module_file(&src, &room)?;
        Some((room, Entry::of(&paths::parse(&file))))
    });
    files.collect()
}

fn assert_none(wrong: &[String]) {
    assert!(wrong.is_empty(), "{} found:\n{}", wrong.len(), wrong.join("\n"));
}

fn shown(file: &Path) -> String {
    file.strip_prefix(root()).unwrap_or(file).display().to_string()
}

/// The table is itself in layers: nobody may import a room listed below it, so there is no circle.
#[test]
fn the_table_has_foundations_first() {
    let mut wrong = Vec::new();
    for room in ROOMS {
        let (Only(named) | AllAboveBut(named)) = room.imports;
        let above: BTreeSet<&str> = room.above().collect();
        wrong.extend(named.iter().filter(|n| !above.contains(*n)).map(|n| format!("{}: `{n}`", room.name)));
    }
    assert_none(&wrong);
}

/// A new room is a decision: it fails here until the table says what it may import.
#[test]
fn every_room_on_disk_is_in_the_table() {
    let unknown = rooms_on_disk().into_iter().filter(|name| Room::find(name).is_none());
    assert_none(&unknown.map(|name| format!("src/{name} is not in the table")).collect::<Vec<_>>());
}

/// The table speaks of nothing that is not there.
#[test]
fn every_room_of_the_table_is_on_disk() {
    let src = root().join("src");
    let absent = ROOMS.iter().filter(|room| paths::module_file(&src, room.name).is_none());
    assert_none(&absent.map(|room| format!("no src/{}", room.name)).collect::<Vec<_>>());
}

/// `lib.rs` has the rooms in the table's order, all public, and nothing else.
#[test]
fn lib_lists_the_rooms_in_the_tables_order() {
    let lib = paths::parse(&root().join("src/lib.rs"));
    let listed = lib.items.iter().map(|item| match item {
        Item::Mod(i) if matches!(i.vis, Visibility::Public(_)) && i.content.is_none() => i.ident.to_string(),
        _ => "something that is no `pub mod` line".to_owned(),
    });
    let on_disk = rooms_on_disk();
    let expected = ROOMS.iter().map(|room| room.name).filter(|name| on_disk.contains(*name));
    assert_eq!(listed.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
}

/// No room imports, in any spelling, what the table does not grant, nor reaches past an entry;
/// the pure rooms name no runtime, network, disk, log or clock.
#[test]
fn rooms_import_only_what_the_table_allows() {
    let (src, entries) = (root().join("src"), entries());
    let mut wrong = Vec::new();
    for room in ROOMS.iter().filter(|room| entries.contains_key(room.name)) {
        for named in paths::of_room(&src, room.name) {
            let objection = objection(room, &named.target, &entries);
            wrong.extend(objection.map(|o| format!("{}: {} {o}", shown(&named.file), room.name)));
        }
    }
    wrong.sort();
    wrong.dedup();
    assert_none(&wrong);
}

/// A room has one entry: private `mod` lines and names listed one by one.
#[test]
fn rooms_have_one_entry() {
    let entries = entries();
    let wrong = entries.iter().flat_map(|(room, e)| e.wrong.iter().map(move |w| format!("{room}: {w}")));
    assert_none(&wrong.collect::<Vec<_>>());
}

/// ARCHITECTURE.md's table has the same rooms, order, imports and pure rooms, and paths that exist.
#[test]
fn architecture_says_the_same() {
    let text = std::fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let rows = text.lines().filter(|line| line.starts_with("| `") && line.contains("| `src/"));
    let cells = rows.map(|row| row.split('|').map(str::trim).collect::<Vec<_>>());
    let written: Vec<(String, String)> =
        cells.clone().map(|c| (c[1].trim_matches('`').to_owned(), c[4].to_owned())).collect();
    let expected: Vec<(String, String)> =
        ROOMS.iter().map(|room| (room.name.to_owned(), room.imports_in_words())).collect();
    assert_eq!(written, expected);

    let on_disk = rooms_on_disk();
    let placed = cells.filter(|c| on_disk.contains(c[1].trim_matches('`')));
    let lost = placed.filter(|c| !root().join(c[2].trim_matches('`')).exists());
    assert_none(&lost.map(|c| format!("no {}", c[2])).collect::<Vec<_>>());

    let pure: Vec<String> = ROOMS.iter().filter(|r| r.pure).map(|r| format!("`{}`", r.name)).collect();
    let sentence = format!("The pure rooms are {}.", pure.join(", "));
    assert!(text.contains(&sentence), "ARCHITECTURE.md lacks: {sentence}");
}

/// Each spelling of a forbidden path, planted in a room that exists, is seen: a checker that sees
/// nothing would agree with any table.
#[test]
fn forbidden_paths_are_seen_in_every_spelling() {
    let record = syn::parse_file("mod batch; mod split; pub use {batch::Batch, split::split};");
    let entries = BTreeMap::from([("record".to_owned(), Entry::of(&record.expect("it parses")))]);
    let check = |source: &str, expected: &str| {
        let room = Room::find("detect").expect("detect is a room");
        let targets = paths::of_source(&["detect", "bet"], source);
        let seen: Vec<String> = targets.iter().filter_map(|t| objection(room, t, &entries)).collect();
        match expected {
            "" => assert!(seen.is_empty(), "{source}: {seen:?}"),
            _ => assert!(seen.iter().any(|s| s.contains(expected)), "{source}: {seen:?}"),
        }
    };
    check("use crate::record::Batch;", "");
    check("use crate::record::*;", "");
    check("use crate::record::split;", "");
    check("pub(crate) struct A;", "");
    check("use super::finding::Finding;", "");
    check("use std::time::Duration;", "");
    check("#[cfg(test)] mod tests { use crate::alert::Timeline; }", "");
    check("#[cfg(test)] fn helper(_: crate::alert::Timeline) {}", "");
    check("use crate::alert::Timeline;", "imports `alert`");
    check("use crate::{record::Batch, alert::{self, Timeline}};", "imports `alert`");
    check("use super::super::alert::Timeline;", "imports `alert`");
    check("mod inner { use super::super::super::alert::Timeline; }", "imports `alert`");
    check("fn f() -> Option<crate::alert::Timeline> { None }", "imports `alert`");
    check("fn f() { let _ = vec![Some(crate::alert::Timeline::default())]; }", "imports `alert`");
    check("macro_rules! m { () => { $crate::alert::Timeline }; }", "imports `alert`");
    check("#[serde(with = \"crate::alert::text\")] struct A;", "imports `alert`");
    check("struct A { #[serde(with = \"crate::alert::text\")] b: u8 }", "imports `alert`");
    check("use crate::nowhere::Thing;", "imports `nowhere`");
    check("use crate::*;", "imports `*`");
    check("use crate as root;", "names the crate's root");
    check("use crate::record::batch::Builder;", "reaches past the entry of `record` to `batch`");
    check("use crate::units::Clock;", "reads a clock");
    check("use tokio::sync::mpsc;", "names `tokio`");
    check("use std::{fmt, fs};", "names `std::fs`");
    check("fn f() { std::fs::read(\"x\").ok(); }", "names `std::fs`");
    check("fn f() { tracing::info!(\"x\"); }", "names `tracing`");
    check("fn f() { let _ = std::time::Instant::now(); }", "names `std::time::Instant`");
}

/// A second entry and a list of names that cannot be read are both seen.
#[test]
fn a_second_entry_is_seen() {
    let wrong = |source: &str| Entry::of(&syn::parse_file(source).expect("it parses")).wrong.len();
    assert_eq!(wrong("mod a; pub use a::A; pub mod inline {}"), 0);
    assert_eq!(wrong("pub mod a;"), 1);
    assert_eq!(wrong("mod a; pub use a::*;"), 1);
}
