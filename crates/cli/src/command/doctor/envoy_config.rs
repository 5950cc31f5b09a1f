//! The parts of an Envoy's configuration that matter to the filter, from wherever they come.

use std::net::SocketAddr;
use std::path::Path;

use pointsman::control::plugin::{Plugin, Role};
use pointsman::policy::Policy;
use pointsman::schema::InvalidDocument;
use pointsman::telemetry::header;
use serde_json::Value;

use super::hosts::{Host, hosts};
use super::json::{list, text_of};
use crate::failure::Failure;
use crate::io::http::Connection;

const WASM_FILTER: &str = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";
const MANAGER: &str =
    "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";

/// Envoy gives a `StringValue` as its text and a `Struct` as its JSON.
fn configuration_text(any: &Value) -> Option<String> {
    match any.get("value")? {
        Value::String(text) => Some(text.clone()),
        value => Some(value.to_string()),
    }
}

/// Whether this is the `typed_config` of a wasm filter.
fn is_wasm_config(value: &Value) -> bool {
    value.get("@type").and_then(Value::as_str) == Some(WASM_FILTER)
}

/// An Envoy, as far as it is known.
#[derive(Debug, Default)]
pub struct EnvoyConfig {
    /// Major, minor and patch; `None` if nothing says it.
    pub version: Option<[u64; 3]>,
    /// Names of the clusters.
    pub clusters: Vec<String>,
    /// The clusters themselves.
    pub cluster_values: Vec<Value>,
    /// `admin` of the bootstrap.
    pub admin: Value,
    /// The hosts of the policies' clusters, of a running Envoy.
    pub hosts: Vec<Host>,
    /// Whether clusters may come from elsewhere, so that `clusters` need not be all.
    pub has_cluster_discovery: bool,
    /// `stats_config.stats_tags` of the bootstrap.
    pub stats_tags: Vec<Value>,
    /// Every place where the filter stands before clients' requests.
    pub filters: Vec<FilterInstance>,
    /// Every cluster in which it sees to each attempt.
    pub attempts: Vec<Attempt>,
    /// Counters that speak of faults, of a running Envoy.
    pub counters: Vec<(String, u64)>,
}

/// An HTTP connection manager with the filter.
#[derive(Debug)]
pub struct FilterInstance {
    /// The listener's name.
    pub listener: String,
    /// The listener's address and port, if it has one.
    pub address: Option<(String, u64)>,
    /// The listener's `per_connection_buffer_limit_bytes`.
    pub connection_buffer: Option<u64>,
    /// The connection manager.
    pub manager: Value,
    /// Its routes, inline or found by name; `None` if they come from elsewhere.
    pub routes: Option<Value>,
    /// Which of its HTTP filters is ours.
    pub position: usize,
    /// The filter's `PluginConfig`.
    pub plugin_config: Value,
    /// The plugin's configuration, compiled; `None` where the filter has none that can be read.
    pub plugin: Option<Result<Role, InvalidDocument>>,
}

impl FilterInstance {
    /// The place of a finding in this listener.
    pub fn place(&self, what: &str) -> String {
        format!("listener `{}`, {what}", self.listener)
    }

    /// The router's plugin, if its configuration compiles.
    pub fn compiled(&self) -> Option<&Plugin> {
        match self.plugin.as_ref()?.as_ref().ok()? {
            Role::Router(plugin) => Some(plugin),
            Role::Attempt(_) => None,
        }
    }

    /// The policy, if the configuration compiles.
    pub fn policy(&self) -> Option<&Policy> {
        self.compiled().map(|plugin| &plugin.policy)
    }

    /// The request header that names the chosen cluster.
    pub fn cluster_header(&self) -> &str {
        self.compiled()
            .map_or(header::CLUSTER, |plugin| &plugin.cluster_header)
    }

    /// The virtual hosts of its routes.
    pub fn virtual_hosts(&self) -> impl Iterator<Item = &Value> {
        let routes = self.routes.iter();
        routes.flat_map(|routes| list(routes, "/virtual_hosts"))
    }
}

/// A cluster with the filter in its role of attempts.
#[derive(Debug)]
pub struct Attempt {
    /// The cluster's name.
    pub cluster: String,
    /// The cluster's `per_connection_buffer_limit_bytes`.
    pub connection_buffer: Option<u64>,
    /// The filter's `PluginConfig`.
    pub plugin_config: Value,
    /// The plugin's configuration, compiled; `None` where the filter has none that can be read.
    pub plugin: Option<Result<Role, InvalidDocument>>,
}

/// Parts of a document before they are put together.
#[derive(Default)]
struct Parts<'d> {
    listeners: Vec<&'d Value>,
    routes: Vec<&'d Value>,
    /// Filters that are found by their names.
    extensions: Vec<&'d Value>,
}

impl EnvoyConfig {
    /// Asks a running Envoy.
    ///
    /// # Errors
    /// [`Failure::Input`] if nobody answers at `admin`, or not as Envoy does.
    pub async fn from_admin(admin: SocketAddr) -> Result<EnvoyConfig, Failure> {
        let dump: Value = serde_json::from_slice(&get(admin, "/config_dump").await?)
            .map_err(|error| Failure::Input(format!("the configuration of {admin}: {error}")))?;
        let mut envoy = EnvoyConfig::from_document(&dump);
        let info: Value =
            serde_json::from_slice(&get(admin, "/server_info").await?).unwrap_or_default();
        // `HASH/1.40.0/Clean/RELEASE/BoringSSL`
        let version = info.get("version").and_then(Value::as_str);
        envoy.version = version
            .and_then(|text| text.split('/').nth(1))
            .and_then(parse_version)
            .or(envoy.version);
        let stats = get(admin, "/stats?filter=pointsman").await?;
        envoy.counters = String::from_utf8_lossy(&stats)
            .lines()
            .filter_map(|line| line.split_once(": "))
            .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
            .collect();
        let clusters: Value =
            serde_json::from_slice(&get(admin, "/clusters?format=json").await?).unwrap_or_default();
        // If Envoy runs elsewhere, connections from here show nothing about its backends.
        let is_here = admin.ip().is_loopback();
        let connect = |address| is_here.then(|| refused(address)).flatten();
        envoy.hosts = hosts(&clusters, &envoy.policy_clusters(), &connect);
        Ok(envoy)
    }

    /// The clusters that the filters' policies name.
    fn policy_clusters(&self) -> Vec<String> {
        let plugins = self.filters.iter().filter_map(FilterInstance::compiled);
        let named = plugins.flat_map(|plugin| plugin.policy.called_clusters());
        named.map(str::to_owned).collect()
    }

    /// Reads a dump or a bootstrap file.
    ///
    /// # Errors
    /// [`Failure::Input`] if it cannot be read or is neither.
    pub fn from_file(path: &Path) -> Result<EnvoyConfig, Failure> {
        let text = crate::io::input::read_text(path)?;
        let document: Value = serde_yaml_ng::from_str(&text)
            .map_err(|error| Failure::Input(format!("`{}`: {error}", path.display())))?;
        if document.get("configs").is_none() && document.get("static_resources").is_none() {
            let problem = "is not a configuration of Envoy: it has neither `configs` (a dump) nor `static_resources` (a bootstrap)";
            return Err(Failure::Input(format!("`{}` {problem}", path.display())));
        }
        Ok(EnvoyConfig::from_document(&document))
    }

    /// Takes a dump or a bootstrap apart.
    pub fn from_document(document: &Value) -> EnvoyConfig {
        let mut envoy = EnvoyConfig::default();
        let mut parts = Parts::default();
        match document.get("configs").and_then(Value::as_array) {
            Some(configs) => {
                for config in configs {
                    envoy.read_dumped(config, &mut parts);
                }
            }
            None => {
                envoy.read_bootstrap(document);
                let listeners = list(document, "/static_resources/listeners");
                parts.listeners.extend(listeners);
                envoy.add_clusters(list(document, "/static_resources/clusters"));
            }
        }
        for listener in &parts.listeners {
            envoy.add_filter_instances(listener, &parts);
        }
        envoy
    }

    /// One section of a dump.
    fn read_dumped<'d>(&mut self, config: &'d Value, parts: &mut Parts<'d>) {
        let each = |name: &str, member: &str| {
            let items = list(config, &format!("/{name}"));
            let member = format!("/{member}");
            items
                .filter_map(move |item| item.pointer(&member))
                .collect::<Vec<_>>()
        };
        if let Some(bootstrap) = config.get("bootstrap") {
            self.read_bootstrap(bootstrap);
        }
        let active = each("dynamic_listeners", "active_state/listener");
        parts.listeners.extend(each("static_listeners", "listener"));
        parts.listeners.extend(active);
        parts
            .routes
            .extend(each("static_route_configs", "route_config"));
        parts
            .routes
            .extend(each("dynamic_route_configs", "route_config"));
        parts.extensions.extend(each("ecds_filters", "ecds_filter"));
        self.add_clusters(each("static_clusters", "cluster"));
        self.add_clusters(each("dynamic_active_clusters", "cluster"));
    }

    fn read_bootstrap(&mut self, bootstrap: &Value) {
        self.stats_tags
            .extend(list(bootstrap, "/stats_config/stats_tags").cloned());
        if let Some(admin) = bootstrap.get("admin") {
            self.admin = admin.clone();
        }
        self.has_cluster_discovery |= bootstrap.pointer("/dynamic_resources/cds_config").is_some();
        let version = bootstrap.pointer("/node/user_agent_build_version/version");
        let number = |version: &Value, name: &str| {
            version
                .get(name)
                .and_then(Value::as_u64)
                .unwrap_or_default()
        };
        self.version = self.version.or(version.map(|version| {
            ["major_number", "minor_number", "patch"].map(|name| number(version, name))
        }));
    }

    fn add_clusters<'d>(&mut self, clusters: impl IntoIterator<Item = &'d Value>) {
        for cluster in clusters {
            let Some(name) = text_of(cluster, "name") else {
                continue;
            };
            self.clusters.push(name.to_owned());
            self.cluster_values.push(cluster.clone());
            let options = cluster.get("typed_extension_protocol_options");
            let options = options.and_then(Value::as_object).into_iter().flatten();
            for filter in options.flat_map(|(_, one)| list(one, "/http_filters")) {
                let Some((plugin_config, plugin)) = ours(filter) else {
                    continue;
                };
                self.attempts.push(Attempt {
                    cluster: name.to_owned(),
                    connection_buffer: buffer_of(cluster),
                    plugin_config,
                    plugin,
                });
            }
        }
    }

    /// Every connection manager below `listener` that has the filter in the role that decides.
    fn add_filter_instances(&mut self, listener: &Value, parts: &Parts<'_>) {
        let mut managers = Vec::new();
        find(listener, &is_manager, &mut managers);
        for manager in managers {
            for (position, filter) in list(manager, "/http_filters").enumerate() {
                let mut known = parts.extensions.iter();
                let named = known.find(|known| known.get("name") == filter.get("name"));
                let discovered = filter.get("config_discovery").and(named);
                let Some((plugin_config, plugin)) = ours(discovered.unwrap_or(&filter)) else {
                    continue;
                };
                if matches!(&plugin, Some(Ok(Role::Attempt(_)))) {
                    continue;
                }
                self.filters.push(FilterInstance {
                    listener: text_of(listener, "name").unwrap_or("(no name)").to_owned(),
                    address: socket_of(listener),
                    connection_buffer: buffer_of(listener),
                    routes: routes_of(manager, &parts.routes).cloned(),
                    manager: manager.clone(),
                    position,
                    plugin_config,
                    plugin,
                });
            }
        }
    }

    /// The examined parts, as a line.
    pub fn summary(&self) -> String {
        let version = match self.version {
            Some([major, minor, patch]) => format!("Envoy {major}.{minor}.{patch}"),
            None => "Envoy of unknown version".to_owned(),
        };
        let listeners: Vec<&str> = self
            .filters
            .iter()
            .map(|filter| &*filter.listener)
            .collect();
        match listeners.as_slice() {
            [] => format!("{version}, no listener with the filter"),
            names => format!("{version}, the filter on {}", names.join(", ")),
        }
    }
}

/// Why nobody can be reached there.
fn refused(address: SocketAddr) -> Option<String> {
    let deadline = std::time::Duration::from_millis(500);
    let tried = std::net::TcpStream::connect_timeout(&address, deadline);
    tried.err().map(|error| error.to_string())
}

/// Address and port of a listener or endpoint.
pub fn socket_of(value: &Value) -> Option<(String, u64)> {
    let socket = value.pointer("/address/socket_address")?;
    let port = socket.get("port_value")?.as_u64()?;
    Some((text_of(socket, "address")?.to_owned(), port))
}

/// The limit of a listener or cluster.
fn buffer_of(value: &Value) -> Option<u64> {
    let limit = value.get("per_connection_buffer_limit_bytes");
    limit.and_then(Value::as_u64)
}

/// The `PluginConfig` of a filter that is ours, and its configuration compiled.
fn ours(filter: &Value) -> Option<(Value, Option<Result<Role, InvalidDocument>>)> {
    let config = filter
        .get("typed_config")
        .filter(|config| is_wasm_config(config));
    let plugin_config = config?.get("config").cloned().unwrap_or_default();
    let text = plugin_config
        .get("configuration")
        .and_then(configuration_text);
    if !is_ours(filter, &plugin_config, text.as_deref()) {
        return None;
    }
    let plugin = text.map(|text| Role::compile(text.as_bytes()));
    Some((plugin_config, plugin))
}

/// The routes of a connection manager: its own, or those that it names.
fn routes_of<'d>(manager: &'d Value, routes: &[&'d Value]) -> Option<&'d Value> {
    let named = manager.pointer("/rds/route_config_name");
    manager.get("route_config").or_else(|| {
        let mut known = routes.iter().copied();
        known.find(|known| named.is_some() && known.get("name") == named)
    })
}

/// Whether a wasm filter is Pointsman: by its configuration, or by the names that people give it.
fn is_ours(filter: &Value, plugin_config: &Value, text: Option<&str>) -> bool {
    let configured = text
        .and_then(|text| serde_json::from_str::<Value>(text).ok())
        .is_some_and(|plugin| {
            let names = ["policy", "policy_source", "role"];
            names.iter().any(|name| plugin.get(name).is_some())
        });
    let named = [
        text_of(filter, "name"),
        text_of(plugin_config, "name"),
        text_of(plugin_config, "root_id"),
    ];
    configured
        || named
            .into_iter()
            .flatten()
            .any(|name| name.contains("pointsman"))
}

fn is_manager(value: &Value) -> bool {
    text_of(value, "@type").is_some_and(|name| name.ends_with(MANAGER))
}

fn find<'d>(value: &'d Value, is: &impl Fn(&Value) -> bool, found: &mut Vec<&'d Value>) {
    if is(value) {
        found.push(value);
    }
    match value {
        Value::Object(members) => members.values().for_each(|member| find(member, is, found)),
        Value::Array(items) => items.iter().for_each(|item| find(item, is, found)),
        _ => {}
    }
}

/// Major, minor and patch of `1.40.0` or `1.40.0-dev`.
fn parse_version(text: &str) -> Option<[u64; 3]> {
    let mut numbers = text
        .split(['.', '-'])
        .map_while(|number| number.parse().ok());
    Some([numbers.next()?, numbers.next()?, numbers.next()?])
}

async fn get(admin: SocketAddr, path: &str) -> Result<hyper::body::Bytes, Failure> {
    let failed = |error: crate::io::http::Error| {
        Failure::Input(format!("no Envoy answers `{path}` at {admin}: {error}"))
    };
    let mut connection = Connection::open(admin).await.map_err(failed)?;
    let answer = connection.get(path).await.map_err(failed)?;
    if answer.status != 200 {
        let problem = format!("{admin} answers `{path}` with {}", answer.status);
        return Err(Failure::Input(problem));
    }
    Ok(answer.body)
}
