//! The shipped Envoy configuration as a document in which a test changes what it must.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Value, json};

use crate::files;

const LISTENER: &str = "/static_resources/listeners/0";
const MANAGER: &str = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config";

/// An Envoy bootstrap: `envoy/envoy.yaml`, changed.
#[derive(Debug, Clone)]
pub struct Config(Value);

impl Config {
    /// `envoy/envoy.yaml` with every port left to the operating system and the module at `module`.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn shipped(module: &Path) -> Result<Config, String> {
        let file = files::require("envoy/envoy.yaml", "git checkout envoy/envoy.yaml")?;
        let text = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
        let document = serde_yaml_ng::from_str(&text).map_err(|error| error.to_string())?;
        let any = json!({"socket_address": {"address": "127.0.0.1", "port_value": 0}});
        Ok(Config(document)
            .set("/admin/address", any.clone())
            .set(&format!("{LISTENER}/address"), any)
            .set_plugin("vm_config/code/local/filename", json!(module)))
    }

    /// A whole configuration, as it is.
    ///
    /// # Errors
    /// Where the text is no YAML.
    pub fn parse(text: &str) -> Result<Config, String> {
        serde_yaml_ng::from_str(text)
            .map(Config)
            .map_err(|error| error.to_string())
    }

    /// The same with `value` in place of what is at `pointer`; where nothing is, it is added to its parent.
    ///
    /// # Panics
    /// Where the parent is not there: the test names a place that the shipped file no longer has.
    #[must_use]
    pub fn set(mut self, pointer: &str, value: Value) -> Config {
        let (parent, name) = pointer.rsplit_once('/').unwrap_or(("", pointer));
        match self.0.pointer_mut(parent) {
            Some(Value::Object(members)) => {
                members.insert(name.replace("~1", "/"), value);
            }
            Some(Value::Array(items)) => {
                let slot = name
                    .parse()
                    .ok()
                    .and_then(|index: usize| items.get_mut(index));
                *slot.unwrap_or_else(|| missing(pointer)) = value;
            }
            _ => missing(pointer),
        }
        self
    }

    /// What is at `pointer`.
    pub fn get(&self, pointer: &str) -> Option<&Value> {
        self.0.pointer(pointer)
    }

    /// The same with a field of the module's plugin configuration set, such as `vm_config/vm_id`.
    #[must_use]
    pub fn set_plugin(self, path: &str, value: Value) -> Config {
        let plugin = self.plugin();
        self.set(&format!("{plugin}/{path}"), value)
    }

    /// Where the module's filter has its configuration: others may stand before it.
    fn plugin(&self) -> String {
        let filters = format!("{MANAGER}/http_filters");
        let list = self.get(&filters).and_then(Value::as_array);
        let is_ours = |one: &Value| one["name"] == "pointsman";
        let at = list.and_then(|filters| filters.iter().position(is_ours));
        match at {
            Some(at) => format!("{filters}/{at}/typed_config/config"),
            None => missing("the filter `pointsman`"),
        }
    }

    /// The same with a field of the HTTP connection manager set.
    #[must_use]
    pub fn set_manager(self, path: &str, value: Value) -> Config {
        self.set(&format!("{MANAGER}/{path}"), value)
    }

    /// The same with a field of the listener set.
    #[must_use]
    pub fn set_listener(self, path: &str, value: Value) -> Config {
        self.set(&format!("{LISTENER}/{path}"), value)
    }

    /// The same with a field of the policy set, such as `backends/0/cluster`.
    #[must_use]
    pub fn set_policy(self, path: &str, value: Value) -> Config {
        let plugin = self.plugin_configuration();
        let changed = Config(plugin).set(&format!("/policy/{path}"), value);
        self.with_plugin_configuration(&changed.0)
    }

    /// The same with another policy.
    #[must_use]
    pub fn with_policy(self, policy: Value) -> Config {
        let plugin = self.plugin_configuration();
        let changed = Config(plugin).set("/policy", policy);
        self.with_plugin_configuration(&changed.0)
    }

    /// What the module is configured with, its policy included.
    ///
    /// # Panics
    /// Where it is not JSON as text.
    pub fn plugin_configuration(&self) -> Value {
        let text = self.get(&format!("{}/configuration/value", self.plugin()));
        text.and_then(Value::as_str)
            .and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_else(|| missing("configuration"))
    }

    /// The same with another configuration of the module.
    #[must_use]
    pub fn with_plugin_configuration(self, configuration: &Value) -> Config {
        let text = format!("{configuration:#}");
        self.set_plugin("configuration/value", json!(text))
    }

    /// The same without the module: Envoy with its default route alone.
    #[must_use]
    pub fn without_module(mut self) -> Config {
        match self.0.pointer_mut(&format!("{MANAGER}/http_filters")) {
            Some(Value::Array(filters)) => filters.retain(|one| one["name"] != "pointsman"),
            _ => missing("http_filters"),
        }
        self
    }

    /// The same with exactly these clusters, each with one endpoint.
    #[must_use]
    pub fn with_clusters<'a>(
        self,
        clusters: impl IntoIterator<Item = (&'a str, SocketAddr)>,
    ) -> Config {
        let clusters: Vec<Value> = clusters
            .into_iter()
            .map(|(name, address)| cluster(name, address))
            .collect();
        self.set("/static_resources/clusters", Value::Array(clusters))
    }

    /// The same with the listener taken from the file `name` in `directory` (by LDS, watched) instead of standing in the
    /// bootstrap; and that file's contents.
    #[must_use]
    pub fn with_listener_file(mut self, directory: &Path, name: &str) -> (Config, String) {
        let resource = self.listener_resource();
        if let Some(Value::Object(members)) = self.0.pointer_mut("/static_resources") {
            members.remove("listeners");
        }
        let source = json!({"lds_config": {"resource_api_version": "V3", "path_config_source": {
            "path": directory.join(name), "watched_directory": {"path": directory},
        }}});
        let config = self
            .set("/dynamic_resources", source)
            .set("/node", json!({"id": "test", "cluster": "test"}));
        (config, resource)
    }

    /// The listener as a file that LDS reads.
    pub fn listener_resource(&self) -> String {
        let mut listener = self.get(LISTENER).cloned().unwrap_or_default();
        if let Some(listener) = listener.as_object_mut() {
            listener.insert(
                "@type".into(),
                json!("type.googleapis.com/envoy.config.listener.v3.Listener"),
            );
        }
        json!({ "resources": [listener] }).to_string()
    }

    /// As JSON, which Envoy reads as well.
    pub fn to_json(&self) -> String {
        self.0.to_string()
    }
}

fn cluster(name: &str, address: SocketAddr) -> Value {
    let socket = json!({"address": address.ip().to_string(), "port_value": address.port()});
    json!({
        "name": name, "type": "STATIC", "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": [
            {"lb_endpoints": [{"endpoint": {"address": {"socket_address": socket}}}]},
        ]},
    })
}

#[expect(
    clippy::panic,
    reason = "a test that changes what is not there must fail"
)]
fn missing(pointer: &str) -> ! {
    panic!("the configuration has no `{pointer}`")
}
