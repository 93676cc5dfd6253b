//! The configuration inside the Kubernetes manifest is one that silentry takes, and the paths that its
//! probes ask are routes.

use std::path::Path;

use syn::visit::Visit;

use crate::packaging::Manifest;
use crate::paths;

/// A manifest whose configuration is refused would be found out on somebody's cluster.
#[test]
fn the_shipped_configuration_is_valid() {
    let config = silentry::config::Config::read(Manifest::read().config_text());
    config.expect("the shipped configuration is valid");
}

/// The paths that the manifest's probes and scrape annotation ask stand in the api's routes.
#[test]
fn probed_paths_are_routes() {
    struct Texts(Vec<String>);
    impl Visit<'_> for Texts {
        fn visit_lit_str(&mut self, text: &syn::LitStr) {
            self.0.push(text.value());
        }
    }
    let mut texts = Texts(Vec::new());
    let api = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/api");
    for entry in std::fs::read_dir(api).expect("src/api can be read") {
        let file = entry.expect("src/api can be listed").path();
        if file.is_file() {
            texts.visit_file(&paths::parse(&file));
        }
    }
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert!(texts.0.iter().any(|text| text == path), "no route {path}");
    }
}
