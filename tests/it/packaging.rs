//! What is shipped beside the code: the image's recipe and the Kubernetes manifest agree with each
//! other and within themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde_json::Value;

const MANIFEST: &str = "deploy/kubernetes/sidecar.yaml";

fn read(path: &str) -> String {
    let full = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(full).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// The manifest's objects by kind and name.
pub(crate) struct Manifest(BTreeMap<(String, String), Value>);

impl Manifest {
    pub(crate) fn read() -> Self {
        let text = read(MANIFEST);
        let documents: Vec<Value> = serde_saphyr::from_multiple(&text).expect("the manifest is YAML");
        let mut objects = BTreeMap::new();
        for document in documents {
            assert!(document["apiVersion"].is_string(), "{document}");
            let key = (word(&document, "/kind").to_owned(), word(&document, "/metadata/name").to_owned());
            assert!(objects.insert(key.clone(), document).is_none(), "{key:?} appears twice");
        }
        Self(objects)
    }

    fn get(&self, kind: &str, name: &str) -> &Value {
        self.0.get(&(kind.to_owned(), name.to_owned())).unwrap_or_else(|| panic!("no {kind} `{name}`"))
    }

    fn pod(&self) -> &Value {
        at(self.get("Deployment", "wine"), "/spec/template")
    }

    /// The silentry container.
    fn silentry(&self) -> &Value {
        let containers = list(self.pod(), "/spec/containers");
        containers.iter().find(|c| c["name"] == "silentry").expect("a container `silentry`")
    }

    /// `silentry.yaml` as the manifest ships it.
    pub(crate) fn config_text(&self) -> &str {
        word(self.get("ConfigMap", "silentry-config"), "/data/silentry.yaml")
    }

    fn config(&self) -> Value {
        serde_saphyr::from_str(self.config_text()).expect("silentry.yaml is YAML")
    }

    /// Where the container mounts the volume, and whether it may write there.
    fn mount(&self, volume: &str) -> (&str, bool) {
        let mounts = list(self.silentry(), "/volumeMounts");
        let mount =
            mounts.iter().find(|m| m["name"] == volume).unwrap_or_else(|| panic!("no mount `{volume}`"));
        (word(mount, "/mountPath"), mount["readOnly"] != true)
    }
}

fn at<'a>(value: &'a Value, pointer: &str) -> &'a Value {
    value.pointer(pointer).unwrap_or_else(|| panic!("no {pointer} in {value}"))
}

fn word<'a>(value: &'a Value, pointer: &str) -> &'a str {
    at(value, pointer).as_str().unwrap_or_else(|| panic!("{pointer} is no text in {value}"))
}

fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    at(value, pointer).as_array().unwrap_or_else(|| panic!("{pointer} is no list in {value}"))
}

fn names<'a>(items: impl IntoIterator<Item = &'a Value>) -> BTreeSet<&'a str> {
    items.into_iter().map(|item| word(item, "/name")).collect()
}

/// The rest of the only line that begins with `keyword` in the last stage of the Containerfile.
fn image_line(keyword: &str) -> String {
    let text = read("Containerfile");
    let (_, last_stage) = text.rsplit_once("\nFROM ").expect("the Containerfile has stages");
    let rests: Vec<&str> = last_stage.lines().filter_map(|line| line.strip_prefix(keyword)).collect();
    assert_eq!(rests.len(), 1, "{keyword}: {rests:?}");
    rests[0].trim().to_owned()
}

/// Selectors find the pod, target ports exist, and every volume, mount, ConfigMap and Secret that is
/// named is there, or the manifest's head says how to create it.
#[test]
fn names_in_the_manifest_lead_somewhere() {
    let manifest = Manifest::read();
    let (pod, containers) = (manifest.pod(), list(manifest.pod(), "/spec/containers"));
    let labels = at(pod, "/metadata/labels");
    let ports = names(containers.iter().flat_map(|c| list(c, "/ports")));
    assert_eq!(at(manifest.get("Deployment", "wine"), "/spec/selector/matchLabels"), labels);
    for ((kind, name), object) in &manifest.0 {
        if kind == "Service" {
            assert_eq!(at(object, "/spec/selector"), labels, "{name}");
            for port in list(object, "/spec/ports") {
                assert!(ports.contains(word(port, "/targetPort")), "{name}: {port}");
            }
        }
    }

    let volumes = list(pod, "/spec/volumes");
    let mounted = names(list(manifest.silentry(), "/volumeMounts"));
    assert_eq!(names(volumes), mounted);
    let text = read(MANIFEST);
    let maps = volumes.iter().filter_map(|v| v.pointer("/configMap/name")).map(|n| ("configmap", n));
    let env = containers.iter().flat_map(|c| list(c, "/env"));
    let secrets =
        env.filter_map(|e| e.pointer("/valueFrom/secretKeyRef/name")).map(|n| ("secret generic", n));
    let mut to_create = BTreeSet::new();
    for (kind, name) in maps.chain(secrets) {
        let name = name.as_str().expect("a name is text");
        if manifest.0.contains_key(&("ConfigMap".to_owned(), name.to_owned())) {
            continue;
        }
        to_create.insert(name);
        assert!(text.contains(&format!("#   kubectl create {kind} {name} --from-")), "who creates {name}?");
    }
    assert_eq!(to_create, BTreeSet::from(["silentry-baseline", "silentry-token"]));
}

/// One port, wherever it stands: configuration, container, Service, scrape annotation, image.
#[test]
fn ports_agree() {
    let manifest = Manifest::read();
    let config = manifest.config();
    let listen: std::net::SocketAddr = word(&config, "/listen").parse().expect("an address and a port");
    let port = listen.port();

    assert_eq!(at(manifest.silentry(), "/ports/0/containerPort"), port);
    let service = manifest.get("Service", "wine-silentry");
    assert_eq!(at(service, "/spec/ports/0/port"), port);
    assert_eq!(at(service, "/spec/ports/0/targetPort"), at(manifest.silentry(), "/ports/0/name"));
    assert_eq!(word(service, "/metadata/annotations/prometheus.io~1port"), port.to_string());
    assert_eq!(word(service, "/metadata/annotations/prometheus.io~1path"), "/metrics");
    assert_eq!(image_line("EXPOSE "), port.to_string());

    let model = &list(manifest.pod(), "/spec/containers")[0];
    let url = list(model, "/env").iter().find(|e| e["name"] == "SILENTRY_URL").expect("SILENTRY_URL");
    assert_eq!(word(url, "/value"), format!("http://127.0.0.1:{port}"));
    let (texts, health) = (read(MANIFEST), read("Containerfile"));
    assert!(texts.contains(&format!("# http://127.0.0.1:{port}/v1/records")));
    assert!(health.contains(&format!("/dev/tcp/127.0.0.1/{port} && printf 'GET /healthz ")));
}

/// A silentry that cannot start stops a roll-out; one that is merely not ready later takes no healthy
/// model out of its Service, so there is no readiness probe.
#[test]
fn probes_do_not_take_the_model_down() {
    let manifest = Manifest::read();
    let silentry = manifest.silentry();
    for (probe, path) in [("startupProbe", "/readyz"), ("livenessProbe", "/healthz")] {
        let get = at(silentry, &format!("/{probe}/httpGet"));
        assert_eq!(word(get, "/path"), path);
        assert_eq!(get["port"], *at(silentry, "/ports/0/name"));
    }
    assert!(silentry.get("readinessProbe").is_none());
}

/// The program finds its files where the manifest mounts them, and can write its state and nothing else.
#[test]
fn files_are_where_the_configuration_says() {
    let (manifest, text) = (Manifest::read(), read(MANIFEST));
    let config = manifest.config();
    let (etc, etc_writable) = manifest.mount("config");
    assert_eq!(
        at(manifest.silentry(), "/args"),
        &serde_json::json!(["serve", "-c", format!("{etc}/silentry.yaml")])
    );

    let (baselines, baselines_writable) = manifest.mount("baselines");
    for model in list(&config, "/models") {
        let file = word(model, "/baseline").strip_prefix(baselines).expect("the baseline is in its volume");
        assert!(
            text.contains(&format!("--from-file={}\n", file.trim_start_matches('/'))),
            "who brings {file}?"
        );
    }
    assert_eq!(manifest.mount("state"), (word(&config, "/state_dir"), true));
    assert!(!etc_writable && !baselines_writable);
    assert_eq!(image_line("VOLUME "), word(&config, "/state_dir"));
    assert_eq!(image_line("CMD [\"serve\""), format!(", \"-c\", \"{etc}/silentry.yaml\"]"));
}

/// Beyond loopback the token is set, from a Secret, under the name that the configuration reads.
#[test]
fn the_token_is_there() {
    let manifest = Manifest::read();
    let config = manifest.config();
    let env = list(manifest.silentry(), "/env");
    let token = env.iter().find(|e| e["name"] == config["token_env"]).expect("the token's variable");
    assert_eq!(word(token, "/valueFrom/secretKeyRef/name"), "silentry-token");
}

/// Without root, without a writable root file system, without capabilities, within limits.
#[test]
fn the_container_is_confined() {
    let manifest = Manifest::read();
    let silentry = manifest.silentry();
    let context = at(silentry, "/securityContext");
    let (user, group) = (at(context, "/runAsUser"), at(context, "/runAsGroup"));
    assert_eq!(image_line("USER "), format!("{user}:{group}"));
    let expected = serde_json::json!({
        "runAsNonRoot": true, "runAsUser": user, "runAsGroup": group, "allowPrivilegeEscalation": false,
        "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    });
    assert_eq!(*context, expected);
    assert_ne!(*user, 0);
    for bound in ["requests", "limits"] {
        for resource in ["cpu", "memory"] {
            word(silentry, &format!("/resources/{bound}/{resource}"));
        }
    }
}
