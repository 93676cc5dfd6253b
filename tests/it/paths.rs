//! Every path that a room's code names, as a path from the crate's root or from another crate.
//!
//! Read from the source with `syn`: imports, inline paths, tokens inside macros, and strings inside
//! attributes such as `#[serde(with = "crate::…")]`. Code that exists only under `cfg(test)` is
//! left out, whole files of it too.

use std::path::{Path, PathBuf};

use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::visit::{self, Visit};
use syn::{Attribute, Ident, Item, LitStr, Token, UseTree, Visibility, token};

/// Where a path leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// Within this crate, from its root; a glob ends in `*`.
    Here(Vec<String>),
    /// Another crate's, or a name that some import brought in.
    Elsewhere(Vec<String>),
}

/// A path and the file that names it.
#[derive(Debug)]
pub(crate) struct Named {
    pub(crate) file: PathBuf,
    pub(crate) target: Target,
}

/// The file that a module begins in, if there is one: `dir/name.rs` or `dir/name/mod.rs`.
pub(crate) fn module_file(dir: &Path, name: &str) -> Option<PathBuf> {
    [dir.join(format!("{name}.rs")), dir.join(name).join("mod.rs")].into_iter().find(|f| f.is_file())
}

/// Parses a source file.
pub(crate) fn parse(file: &Path) -> syn::File {
    let text = std::fs::read_to_string(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    syn::parse_file(&text).unwrap_or_else(|e| panic!("{}: {e}", file.display()))
}

/// Every path named in the module tree below `src/<room>`.
pub(crate) fn of_room(src: &Path, room: &str) -> Vec<Named> {
    let mut named = Vec::new();
    let mut open = vec![vec![room.to_owned()]];
    while let Some(module) = open.pop() {
        let (name, parents) = module.split_last().expect("a module has a name");
        let dir = parents.iter().fold(src.to_path_buf(), |dir, parent| dir.join(parent));
        let file = module_file(&dir, name).unwrap_or_else(|| panic!("no file for {}", module.join("::")));
        let mut found = Collector::of(&module, &parse(&file));
        named.extend(found.targets.drain(..).map(|target| Named { file: file.clone(), target }));
        open.append(&mut found.files);
    }
    named
}

/// Every path named in one piece of source that stands at `module`.
pub(crate) fn of_source(module: &[&str], source: &str) -> Vec<Target> {
    let module: Vec<String> = module.iter().map(|m| (*m).to_owned()).collect();
    Collector::of(&module, &syn::parse_file(source).expect("the planted source parses")).targets
}

/// Whether an item exists only in tests.
pub(crate) fn is_test_only(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|a| {
        a.path().is_ident("cfg") && a.parse_args::<syn::Path>().is_ok_and(|flag| flag.is_ident("test"))
    })
}

struct Collector {
    module: Vec<String>,
    targets: Vec<Target>,
    /// Modules that stand in files of their own.
    files: Vec<Vec<String>>,
}

impl Collector {
    fn of(module: &[String], file: &syn::File) -> Self {
        let mut found = Self { module: module.to_vec(), targets: Vec::new(), files: Vec::new() };
        if !is_test_only(&file.attrs) {
            found.visit_file(file);
        }
        found
    }

    fn note(&mut self, segments: &[String]) {
        let supers = segments.iter().take_while(|s| *s == "super").count();
        let up = self.module.len().checked_sub(supers).expect("no module is above the crate");
        let target = match segments.first().map(String::as_str) {
            Some("crate") => Target::Here(segments[1..].to_vec()),
            Some("self") => Target::Here([&self.module, &segments[1..]].concat()),
            Some("super") => Target::Here([&self.module[..up], &segments[supers..]].concat()),
            _ => Target::Elsewhere(segments.to_vec()),
        };
        self.targets.push(target);
    }

    fn use_tree(&mut self, tree: &UseTree, stem: &mut Vec<String>) {
        match tree {
            UseTree::Path(path) => {
                stem.push(path.ident.to_string());
                self.use_tree(&path.tree, stem);
                stem.pop();
            }
            UseTree::Group(group) => group.items.iter().for_each(|item| self.use_tree(item, stem)),
            UseTree::Name(name) => self.use_leaf(&name.ident.to_string(), stem),
            UseTree::Rename(rename) => self.use_leaf(&rename.ident.to_string(), stem),
            UseTree::Glob(_) => self.use_leaf("*", stem),
        }
    }

    fn use_leaf(&mut self, name: &str, stem: &[String]) {
        // `a::b::{self}` names `a::b`.
        let is_stem = name == "self" && !stem.is_empty();
        let leaf = if is_stem { Vec::new() } else { vec![name.to_owned()] };
        self.note(&[stem, &leaf].concat());
    }

    /// Notes what macro or attribute tokens name; one word alone is a variable or a keyword.
    fn scan(&mut self, tokens: ParseStream<'_>) -> syn::Result<()> {
        while !tokens.is_empty() {
            let inner;
            if tokens.peek(token::Paren) {
                syn::parenthesized!(inner in tokens);
                self.scan(&inner)?;
            } else if tokens.peek(token::Bracket) {
                syn::bracketed!(inner in tokens);
                self.scan(&inner)?;
            } else if tokens.peek(token::Brace) {
                syn::braced!(inner in tokens);
                self.scan(&inner)?;
            } else if tokens.peek(Ident::peek_any) {
                let segments = words(tokens)?;
                if segments.len() > 1 {
                    self.note(&segments);
                }
            } else {
                tokens.step(|at| match at.token_tree() {
                    Some((_, rest)) => Ok(((), rest)),
                    None => Err(at.error("no token")),
                })?;
            }
        }
        Ok(())
    }

    /// Notes the paths that an attribute hands to its macro in strings.
    fn scan_strings(&mut self, tokens: ParseStream<'_>) -> syn::Result<()> {
        while !tokens.is_empty() {
            if tokens.peek(LitStr) {
                if let Ok(path) = tokens.parse::<LitStr>()?.parse::<syn::Path>() {
                    self.visit_path(&path);
                }
            } else {
                tokens.step(|at| match at.token_tree() {
                    Some((_, rest)) => Ok(((), rest)),
                    None => Err(at.error("no token")),
                })?;
            }
        }
        Ok(())
    }
}

/// `a::b::c`, as far as it goes.
fn words(tokens: ParseStream<'_>) -> syn::Result<Vec<String>> {
    let mut segments = vec![tokens.call(Ident::parse_any)?.to_string()];
    loop {
        let ahead = tokens.fork();
        if ahead.parse::<Token![::]>().is_err() || !ahead.peek(Ident::peek_any) {
            return Ok(segments);
        }
        tokens.parse::<Token![::]>()?;
        segments.push(tokens.call(Ident::parse_any)?.to_string());
    }
}

impl<'ast> Visit<'ast> for Collector {
    fn visit_item(&mut self, item: &'ast Item) {
        if !is_test_only(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        assert!(
            !item.attrs.iter().any(|a| a.path().is_ident("path")),
            "`#[path]` hides a file: {}",
            item.ident
        );
        self.module.push(item.ident.to_string());
        if item.content.is_none() {
            self.files.push(self.module.clone());
        }
        visit::visit_item_mod(self, item);
        self.module.pop();
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if !is_test_only(&item.attrs) {
            visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.use_tree(&item.tree, &mut Vec::new());
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<String> = path.segments.iter().map(|s| s.ident.to_string()).collect();
        if segments.len() > 1 {
            self.note(&segments);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, mac: &'ast syn::Macro) {
        self.visit_path(&mac.path);
        let scan = |tokens: ParseStream<'_>| self.scan(tokens);
        scan.parse2(mac.tokens.clone()).expect("tokens of a parsed file can be walked");
    }

    fn visit_meta_list(&mut self, list: &'ast syn::MetaList) {
        let scan = |tokens: ParseStream<'_>| self.scan(tokens);
        scan.parse2(list.tokens.clone()).expect("tokens of a parsed file can be walked");
        let strings = |tokens: ParseStream<'_>| self.scan_strings(tokens);
        strings.parse2(list.tokens.clone()).expect("tokens of a parsed file can be walked");
    }

    /// `pub(crate)` and `pub(super)` open something; they do not import.
    fn visit_visibility(&mut self, _: &'ast Visibility) {}
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(i) => &i.attrs,
        Item::Enum(i) => &i.attrs,
        Item::Fn(i) => &i.attrs,
        Item::Impl(i) => &i.attrs,
        Item::Macro(i) => &i.attrs,
        Item::Mod(i) => &i.attrs,
        Item::Static(i) => &i.attrs,
        Item::Struct(i) => &i.attrs,
        Item::Trait(i) => &i.attrs,
        Item::Type(i) => &i.attrs,
        Item::Union(i) => &i.attrs,
        Item::Use(i) => &i.attrs,
        _ => &[],
    }
}
