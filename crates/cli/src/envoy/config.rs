//! An Envoy configuration as a document: the shipped file, with ports, endpoints and the module's path put in.
//!
//! It changes only what must differ from machine to machine, so that what runs is what is shipped.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Value, json};

use crate::failure::Failure;

const WASM_FILTER: &str = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";
const STRING_VALUE: &str = "type.googleapis.com/google.protobuf.StringValue";

/// An Envoy bootstrap configuration.
#[derive(Debug, Clone)]
pub struct Config(Value);

impl Config {
    /// Reads a bootstrap file, YAML or JSON.
    ///
    /// # Errors
    /// [`Failure::Input`] where the file cannot be read or is not YAML.
    pub fn read(path: &Path) -> Result<Config, Failure> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            Failure::Input(format!("cannot read `{}`: {error}", path.display()))
        })?;
        Config::parse(&text)
            .map_err(|error| Failure::Input(format!("`{}`: {error}", path.display())))
    }

    /// Reads a bootstrap document, YAML or JSON.
    ///
    /// # Errors
    /// Where it is neither.
    pub fn parse(text: &str) -> Result<Config, serde_yaml_ng::Error> {
        serde_yaml_ng::from_str(text).map(Config)
    }

    /// The document as JSON, which Envoy takes as well.
    pub fn to_json(&self) -> String {
        self.0.to_string()
    }

    /// Lets the OS choose the ports of the admin interface and of every listener, on the loopback address.
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

    /// Loads the module from this file, wherever the configuration names one.
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

    /// Takes the module out of every chain of HTTP filters: the same Envoy without us.
    pub fn without_module(mut self) -> Config {
        visit(&mut self.0, &mut |value| {
            if let Some(filters) = value.get_mut("http_filters").and_then(Value::as_array_mut) {
                filters.retain(|filter| !filter.get("typed_config").is_some_and(is_wasm_config));
            }
        });
        self
    }

    /// Writes no access log: a line for each of a million requests is a gigabyte.
    pub fn without_access_log(mut self) -> Config {
        visit(&mut self.0, &mut |value| {
            if let Some(fields) = value.as_object_mut() {
                fields.remove("access_log");
            }
        });
        self
    }

    /// Sends each cluster for which `endpoint` knows an address to that one, in the clear.
    pub fn with_endpoints(mut self, endpoint: impl Fn(&str) -> Option<SocketAddr>) -> Config {
        for cluster in self.list_mut("/static_resources/clusters") {
            let Some(name) = cluster
                .get("name")
                .and_then(Value::as_str)
                .map(str::to_owned)
            else {
                continue;
            };
            let Some(cluster) = cluster.as_object_mut() else {
                continue;
            };
            let Some(address) = endpoint(&name) else {
                continue;
            };
            let socket = json!({"address": address.ip().to_string(), "port_value": address.port()});
            let assignment = json!({
                "cluster_name": name,
                "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"socket_address": socket}}}]}],
            });
            cluster.insert("type".into(), "STATIC".into());
            cluster.insert("load_assignment".into(), assignment);
            cluster.remove("transport_socket");
        }
        self
    }

    /// Puts another inline policy in, with a cluster for each of its backends and the default route to its default cluster.
    ///
    /// The clusters have no endpoints yet: see [`Config::with_endpoints`].
    pub fn with_policy(
        mut self,
        policy: &Value,
        clusters: &[&str],
        default_cluster: &str,
    ) -> Config {
        visit(&mut self.0, &mut |value| {
            if is_wasm_config(value)
                && let Some(configuration) = value.pointer_mut("/config/configuration")
                && let Some(text) = configuration_text(configuration)
                && let Ok(mut plugin) = serde_json::from_str::<Value>(&text)
                && let Some(fields) = plugin.as_object_mut()
            {
                fields.insert("policy".into(), policy.clone());
                *configuration = json!({"@type": STRING_VALUE, "value": plugin.to_string()});
            }
            if let Some(cluster) = value.pointer_mut("/route/cluster") {
                *cluster = default_cluster.into();
            }
        });
        let clusters: Vec<Value> = clusters
            .iter()
            .map(|name| json!({"name": name, "connect_timeout": "1s"}))
            .collect();
        if let Some(list) = self.0.pointer_mut("/static_resources/clusters") {
            *list = clusters.into();
        }
        self
    }

    /// The plugin configuration of the first module, as the JSON text that the module is given.
    pub fn plugin_configuration(&self) -> Option<String> {
        let mut found = None;
        let mut document = self.0.clone();
        visit(&mut document, &mut |value| {
            if found.is_none() && is_wasm_config(value) {
                found = value
                    .pointer("/config/configuration")
                    .and_then(configuration_text);
            }
        });
        found
    }

    fn list_mut(&mut self, pointer: &str) -> impl Iterator<Item = &mut Value> {
        self.0
            .pointer_mut(pointer)
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
    }
}

/// Envoy gives a `StringValue` as its text and a `Struct` as its JSON.
pub fn configuration_text(any: &Value) -> Option<String> {
    match any.get("value")? {
        Value::String(text) => Some(text.clone()),
        value => Some(value.to_string()),
    }
}

/// Whether this is the `typed_config` of a wasm filter.
pub fn is_wasm_config(value: &Value) -> bool {
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
        let config = config().with_policy(&json!({"version": "2"}), &["a", "b"], "b");
        assert_eq!(
            config.plugin_configuration().unwrap(),
            r#"{"policy":{"version":"2"},"version":"1"}"#
        );
        assert_eq!(at(&config, "/static_resources/clusters/1/name"), "b");
        assert_eq!(at(&config, ROUTE), "b");
    }

    #[test]
    fn plugin_configuration_is_found() {
        assert_eq!(
            config().plugin_configuration().unwrap(),
            r#"{"version": "1"}"#
        );
    }
}
