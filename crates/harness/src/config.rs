//! An Envoy bootstrap as a document: the shipped file or a rendered one, in which tests and the lab change only what they must.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Value, json};

use crate::files;

const WASM_FILTER: &str = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";
const STRING_VALUE: &str = "type.googleapis.com/google.protobuf.StringValue";
const LISTENER: &str = "/static_resources/listeners/0";
const MANAGER: &str = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config";

/// An Envoy bootstrap: `envoy/envoy.yaml`, changed.
#[derive(Debug, Clone)]
pub struct Config(Value);

impl Config {
    /// `envoy/envoy.yaml` with every port left to the operating system and the module at `module`.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn shipped(module: &Path) -> Result<Config, String> {
        let file = files::require("envoy/envoy.yaml", "git checkout envoy/envoy.yaml")?;
        Ok(Config::read(&file)?
            .with_ports_from_os()
            .with_module(module))
    }

    /// Reads a bootstrap file, YAML or JSON.
    ///
    /// # Errors
    /// If the file cannot be read or is not YAML.
    pub fn read(path: &Path) -> Result<Config, String> {
        std::fs::read_to_string(path)
            .map_err(|error| error.to_string())
            .and_then(|text| Config::parse(&text))
            .map_err(|error| format!("cannot read `{}`: {error}", path.display()))
    }

    /// A whole configuration, as it is.
    ///
    /// # Errors
    /// If the text is not YAML.
    pub fn parse(text: &str) -> Result<Config, String> {
        serde_yaml_ng::from_str(text)
            .map(Config)
            .map_err(|error| error.to_string())
    }

    /// The configuration with the ports of the admin interface and of every listener chosen by the operating system, on the loopback
    /// address.
    #[must_use]
    pub fn with_ports_from_os(mut self) -> Config {
        let any = json!({"socket_address": {"address": "127.0.0.1", "port_value": 0}});
        if let Some(root) = self.0.as_object_mut() {
            root.insert("admin".into(), json!({ "address": any }));
        }
        for listener in self.list_mut("/static_resources/listeners") {
            if let Some(listener) = listener.as_object_mut() {
                listener.insert("address".into(), any.clone());
            }
        }
        self
    }

    /// The configuration with the module loaded from this file, wherever the configuration names one.
    #[must_use]
    pub fn with_module(mut self, module: &Path) -> Config {
        visit(&mut self.0, &mut |value| {
            if is_wasm_config(value)
                && let Some(code) = value.pointer_mut("/config/vm_config/code")
            {
                *code = json!({"local": {"filename": module}});
            }
        });
        self
    }

    /// The configuration without an access log: a line for each of a million requests is a gigabyte.
    #[must_use]
    pub fn without_access_log(mut self) -> Config {
        visit(&mut self.0, &mut |value| {
            if let Some(fields) = value.as_object_mut() {
                fields.remove("access_log");
            }
        });
        self
    }

    /// The configuration with each cluster for which `endpoint` knows an address sent to that one, in the clear.
    #[must_use]
    pub fn with_endpoints(mut self, endpoint: impl Fn(&str) -> Option<SocketAddr>) -> Config {
        for cluster in self.list_mut("/static_resources/clusters") {
            let name = cluster.get("name").and_then(Value::as_str);
            let Some((name, address)) = name.and_then(|name| Some((name, endpoint(name)?))) else {
                continue;
            };
            let assignment = assignment(name, address);
            if let Some(cluster) = cluster.as_object_mut() {
                cluster.insert("type".into(), "STATIC".into());
                cluster.insert("load_assignment".into(), assignment);
                cluster.remove("transport_socket");
            }
        }
        self
    }

    /// The configuration with every plain route to this cluster.
    #[must_use]
    pub fn with_default_cluster(mut self, name: &str) -> Config {
        visit(&mut self.0, &mut |value| {
            if let Some(cluster) = value.pointer_mut("/route/cluster") {
                *cluster = name.into();
            }
        });
        self
    }

    fn list_mut(&mut self, pointer: &str) -> impl Iterator<Item = &mut Value> {
        let list = self.0.pointer_mut(pointer).and_then(Value::as_array_mut);
        list.into_iter().flatten()
    }

    /// The configuration with `value` at `pointer`: in place of the present one, or added to its parent if there is none.
    ///
    /// # Panics
    /// If the parent is not there: the test names a place that the shipped file no longer has.
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

    /// The value at `pointer`.
    pub fn get(&self, pointer: &str) -> Option<&Value> {
        self.0.pointer(pointer)
    }

    /// The configuration with a field of the module's plugin configuration set, such as `vm_config/vm_id`.
    #[must_use]
    pub fn set_plugin(self, path: &str, value: Value) -> Config {
        let plugin = self.plugin();
        self.set(&format!("{plugin}/{path}"), value)
    }

    /// The place of the configuration of the module's filter: others may stand before it.
    fn plugin(&self) -> String {
        let filters = format!("{MANAGER}/http_filters");
        let list = self.get(&filters).and_then(Value::as_array);
        let is_ours = |filter: &Value| filter["name"] == "pointsman";
        let at = list.and_then(|filters| filters.iter().position(is_ours));
        match at {
            Some(at) => format!("{filters}/{at}/typed_config/config"),
            None => missing("the filter `pointsman`"),
        }
    }

    /// The configuration with a field of the HTTP connection manager set.
    #[must_use]
    pub fn set_manager(self, path: &str, value: Value) -> Config {
        self.set(&format!("{MANAGER}/{path}"), value)
    }

    /// The configuration with a field of the listener set.
    #[must_use]
    pub fn set_listener(self, path: &str, value: Value) -> Config {
        self.set(&format!("{LISTENER}/{path}"), value)
    }

    /// The configuration with a field of the policy set, such as `backends/0/cluster`.
    #[must_use]
    pub fn set_policy(self, path: &str, value: Value) -> Config {
        let plugin = self.plugin_configuration();
        let changed = Config(plugin).set(&format!("/policy/{path}"), value);
        self.with_plugin_configuration(&changed.0)
    }

    /// The configuration with another policy.
    #[must_use]
    pub fn with_policy(self, policy: Value) -> Config {
        let plugin = self.plugin_configuration();
        let changed = Config(plugin).set("/policy", policy);
        self.with_plugin_configuration(&changed.0)
    }

    /// The configuration of the first module, its policy included.
    ///
    /// # Panics
    /// If there is none, or it is not JSON.
    pub fn plugin_configuration(&self) -> Value {
        let found = self.find_plugin_configuration();
        found.unwrap_or_else(|| missing("configuration"))
    }

    /// The configuration of the first module, its policy included, if there is one that is JSON.
    pub fn find_plugin_configuration(&self) -> Option<Value> {
        let mut found = None;
        // Not below the clusters: their upstream filters are configured without a policy.
        let mut listeners = self.get("/static_resources/listeners")?.clone();
        visit(&mut listeners, &mut |value| {
            if found.is_none() && is_wasm_config(value) {
                // Envoy gives a `StringValue` as its text and a `Struct` as its JSON.
                found = match value.pointer("/config/configuration/value") {
                    Some(Value::String(text)) => serde_json::from_str(text).ok(),
                    other => other.cloned(),
                };
            }
        });
        found
    }

    /// The configuration with another configuration of the module.
    #[must_use]
    pub fn with_plugin_configuration(self, configuration: &Value) -> Config {
        let text = format!("{configuration:#}");
        let any = json!({"@type": STRING_VALUE, "value": text});
        self.set_plugin("configuration", any)
    }

    /// The configuration without the module: Envoy with its default route alone.
    #[must_use]
    pub fn without_module(mut self) -> Config {
        visit(&mut self.0, &mut |value| {
            if let Some(filters) = value.get_mut("http_filters").and_then(Value::as_array_mut) {
                filters.retain(|filter| !filter.get("typed_config").is_some_and(is_wasm_config));
            }
        });
        self
    }

    /// The configuration with exactly these clusters, each with one endpoint.
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

    /// The configuration with the listener taken from the file `name` in `directory` (by LDS, watched) instead of standing in the
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
    json!({
        "name": name, "type": "STATIC", "connect_timeout": "1s",
        "load_assignment": assignment(name, address),
    })
}

/// The one endpoint of a cluster.
fn assignment(cluster: &str, address: SocketAddr) -> Value {
    let socket = json!({"address": address.ip().to_string(), "port_value": address.port()});
    json!({"cluster_name": cluster, "endpoints": [
        {"lb_endpoints": [{"endpoint": {"address": {"socket_address": socket}}}]},
    ]})
}

/// Whether this is the `typed_config` of a wasm filter.
fn is_wasm_config(value: &Value) -> bool {
    value.get("@type").and_then(Value::as_str) == Some(WASM_FILTER)
}

/// Shows every value of the document to `see`, parents first.
fn visit(value: &mut Value, see: &mut impl FnMut(&mut Value)) {
    see(value);
    match value {
        Value::Object(members) => members.values_mut().for_each(|member| visit(member, see)),
        Value::Array(items) => items.iter_mut().for_each(|item| visit(item, see)),
        _ => {}
    }
}

#[expect(
    clippy::panic,
    reason = "a test that changes what is not there must fail"
)]
fn missing(pointer: &str) -> ! {
    panic!("the configuration has no `{pointer}`")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const YAML: &str = r#"
static_resources:
  listeners:
  - name: llm
    address: {socket_address: {address: 0.0.0.0, port_value: 10000}}
    filter_chains:
    - filters:
      - typed_config:
          route_config: {virtual_hosts: [{routes: [{match: {prefix: /}, route: {cluster: gpu-1}}]}]}
          http_filters:
          - name: pointsman
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm
              config:
                vm_config: {code: {local: {filename: pointsman.wasm}}}
                configuration: {"@type": type.googleapis.com/google.protobuf.StringValue, value: '{"version": "1"}'}
          - name: router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
  clusters:
  - {name: gpu-1, type: STRICT_DNS}
  - {name: other, type: STRICT_DNS}
"#;

    fn config() -> Config {
        Config::parse(YAML).unwrap()
    }

    fn at<'a>(config: &'a Config, pointer: &str) -> &'a Value {
        config.0.pointer(pointer).unwrap()
    }

    const ROUTE: &str = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/route_config/virtual_hosts/0/routes/0/route/cluster";
    const FILTERS: &str =
        "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/http_filters";

    #[test]
    fn ports_are_the_systems() {
        let config = config().with_ports_from_os();
        assert_eq!(
            at(&config, "/admin/address/socket_address/port_value"),
            &json!(0)
        );
        assert_eq!(
            at(
                &config,
                "/static_resources/listeners/0/address/socket_address"
            ),
            &json!({"address": "127.0.0.1", "port_value": 0})
        );
    }

    #[test]
    fn module_is_replaced_or_taken_out() {
        let with = config().with_module(Path::new("target/x.wasm"));
        let filename = format!("{FILTERS}/0/typed_config/config/vm_config/code/local/filename");
        assert_eq!(at(&with, &filename), "target/x.wasm");
        let without = config().without_module();
        let filters = at(&without, FILTERS).as_array().unwrap();
        assert_eq!(filters.len(), 1);
        assert_eq!(filters.first().unwrap().get("name").unwrap(), "router");
    }

    #[test]
    fn only_known_clusters_get_endpoints() {
        let config = config().with_endpoints(|name| {
            (name == "gpu-1").then(|| SocketAddr::from(([127, 0, 0, 1], 4711)))
        });
        let endpoint =
            "load_assignment/endpoints/0/lb_endpoints/0/endpoint/address/socket_address/port_value";
        assert_eq!(
            at(&config, &format!("/static_resources/clusters/0/{endpoint}")),
            &json!(4711)
        );
        assert_eq!(at(&config, "/static_resources/clusters/0/type"), "STATIC");
        assert_eq!(
            at(&config, "/static_resources/clusters/1/type"),
            "STRICT_DNS"
        );
    }

    #[test]
    fn another_policy_brings_its_clusters() {
        let here = SocketAddr::from(([127, 0, 0, 1], 4711));
        let config = config()
            .with_policy(json!({"version": "2"}))
            .with_clusters([("a", here), ("b", here)])
            .with_default_cluster("b");
        let wanted = json!({"policy": {"version": "2"}, "version": "1"});
        assert_eq!(config.plugin_configuration(), wanted);
        assert_eq!(at(&config, "/static_resources/clusters/1/name"), "b");
        assert_eq!(at(&config, ROUTE), "b");
    }

    #[test]
    fn plugin_configuration_is_found() {
        assert_eq!(config().plugin_configuration(), json!({"version": "1"}));
    }
}
