//! Applies patches as Istio and Envoy Gateway do, to a configuration of the kind that they generate.
//!
//! Only the operations that `pointsman render` writes, as the two document them; any other one is an error, and so is a patch
//! that finds nothing to change. It stands in for a control plane, which needs a cluster.

use serde_json::{Value, json};

const MANAGER: &str = "envoy.filters.network.http_connection_manager";

/// Applies an `EnvoyFilter` to a bootstrap of a proxy in this context, such as `GATEWAY`.
///
/// # Errors
/// Which patch is not understood, or found nothing.
pub fn apply_envoy_filter(
    bootstrap: &mut Value,
    filter: &Value,
    context: &str,
) -> Result<(), String> {
    let patches = filter.pointer("/spec/configPatches");
    let mut resources = Vec::new();
    for patch in patches.and_then(Value::as_array).into_iter().flatten() {
        let text = |pointer: &str| patch.pointer(pointer).and_then(Value::as_str);
        if ![Some(context), Some("ANY")].contains(&text("/match/context")) {
            continue;
        }
        let to = text("/applyTo").unwrap_or_default();
        let changed = apply(bootstrap, patch, &mut resources)?;
        if changed == 0 {
            return Err(format!("a patch of {to} finds nothing: {}", patch["match"]));
        }
    }
    on_managers(bootstrap, &Value::Null, &mut |manager| {
        for filter in list(manager, "/typed_config/http_filters") {
            let discovered = filter.get("config_discovery").is_some();
            let found = resources
                .iter()
                .find(|resource| resource["name"] == filter["name"]);
            if let Some(resource) = found.filter(|_| discovered) {
                *filter = resource.clone();
            }
        }
        1
    });
    Ok(())
}

/// Applies one patch and says how many places it changed; what is found by name is put into `resources`.
fn apply(
    bootstrap: &mut Value,
    patch: &Value,
    resources: &mut Vec<Value>,
) -> Result<usize, String> {
    let text = |pointer: &str| patch.pointer(pointer).and_then(Value::as_str);
    let value = patch.pointer("/patch/value").cloned().unwrap_or_default();
    let to = text("/applyTo").unwrap_or_default();
    Ok(match (to, text("/patch/operation").unwrap_or_default()) {
        ("LISTENER", "MERGE") => on_listeners(bootstrap, patch, &mut |listener| {
            merge(listener, &value);
            1
        }),
        ("NETWORK_FILTER", "MERGE") => on_managers(bootstrap, patch, &mut |manager| {
            merge(manager, &value);
            1
        }),
        ("HTTP_FILTER", "INSERT_BEFORE") => {
            let before = "/match/listener/filterChain/filter/subFilter/name";
            let before = text(before).unwrap_or_default();
            on_managers(bootstrap, patch, &mut |manager| {
                let filters = list(manager, "/typed_config/http_filters");
                let at = filters.iter().position(|filter| filter["name"] == before);
                at.map_or(0, |at| {
                    filters.insert(at, value.clone());
                    1
                })
            })
        }
        ("VIRTUAL_HOST", "MERGE") => on_hosts(bootstrap, patch, &mut |host| {
            merge(host, &value);
            1
        }),
        ("HTTP_ROUTE", "INSERT_FIRST") => on_hosts(bootstrap, patch, &mut |host| {
            list(host, "/routes").insert(0, value.clone());
            1
        }),
        ("CLUSTER", "ADD") => {
            list(bootstrap, "/static_resources/clusters").push(value);
            1
        }
        ("CLUSTER", "MERGE") => {
            let name = text("/match/cluster/name").unwrap_or_default();
            let clusters = list(bootstrap, "/static_resources/clusters").iter_mut();
            let found = clusters.filter(|cluster| cluster["name"] == name);
            found.map(|item| merge(item, &value)).count()
        }
        ("EXTENSION_CONFIG", "ADD") => {
            resources.push(value);
            1
        }
        ("BOOTSTRAP", "MERGE") => {
            merge(bootstrap, &value);
            1
        }
        (to, operation) => return Err(format!("{operation} of {to} is not known here")),
    })
}

/// Applies an `EnvoyPatchPolicy` to a bootstrap.
///
/// # Errors
/// Which patch is not understood, or found nothing.
pub fn apply_patch_policy(bootstrap: &mut Value, policy: &Value) -> Result<(), String> {
    let patches = policy.pointer("/spec/jsonPatches");
    for patch in patches.and_then(Value::as_array).into_iter().flatten() {
        let text = |pointer: &str| patch.pointer(pointer).and_then(Value::as_str);
        let path = text("/operation/path").unwrap_or_default();
        let name = text("/name").unwrap_or_default();
        let value = patch
            .pointer("/operation/value")
            .cloned()
            .unwrap_or_default();
        if text("/operation/op") != Some("add") {
            return Err(format!("{} is not known here", patch["operation"]));
        }
        let kind = text("/type").unwrap_or_default().rsplit('.').next();
        if kind == Some("Cluster") && path.is_empty() {
            list(bootstrap, "/static_resources/clusters").push(value);
            continue;
        }
        let Some(resource) = resource(bootstrap, kind.unwrap_or_default(), name) else {
            return Err(format!("there is no `{name}`"));
        };
        let places = match text("/operation/jsonPath") {
            None => vec![String::new()],
            Some(expression) => locate(resource, expression)?,
        };
        let mut added = !places.is_empty();
        for place in places {
            added &= add(resource, &format!("{place}{path}"), value.clone());
        }
        if !added {
            return Err(format!("a patch of `{name}` finds no {path}"));
        }
    }
    Ok(())
}

/// Protobuf's merge as JSON: messages field by field, lists one behind the other, anything else replaced.
pub fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (name, value) in from {
                merge(into.entry(name.as_str()).or_insert(Value::Null), value);
            }
        }
        (Value::Array(into), Value::Array(from)) => into.extend(from.iter().cloned()),
        (into, from) => *into = from.clone(),
    }
}

/// The list at a place; made if nothing is.
fn list<'v>(value: &'v mut Value, pointer: &str) -> &'v mut Vec<Value> {
    let mut place = value;
    for name in pointer.split('/').skip(1) {
        place = &mut place[name];
    }
    if !place.is_array() {
        *place = json!([]);
    }
    match place {
        Value::Array(items) => items,
        _ => unreachable(pointer),
    }
}

#[expect(clippy::panic, reason = "what was just made a list is one")]
fn unreachable(pointer: &str) -> ! {
    panic!("{pointer} is not a list")
}

/// Changes every listener that a patch matches and counts the changes.
fn on_listeners(
    bootstrap: &mut Value,
    patch: &Value,
    change: &mut dyn FnMut(&mut Value) -> usize,
) -> usize {
    let port = patch.pointer("/match/listener/portNumber");
    let mut changed = 0;
    for listener in list(bootstrap, "/static_resources/listeners") {
        let own = listener.pointer("/address/socket_address/port_value");
        if port.is_none() || port == own {
            changed += change(listener);
        }
    }
    changed
}

/// Changes every HTTP connection manager below them.
fn on_managers(
    bootstrap: &mut Value,
    patch: &Value,
    change: &mut dyn FnMut(&mut Value) -> usize,
) -> usize {
    on_listeners(bootstrap, patch, &mut |listener| {
        let mut changed = 0;
        for chain in list(listener, "/filter_chains") {
            let filters = list(chain, "/filters").iter_mut();
            let managers = filters.filter(|filter| filter["name"] == MANAGER);
            changed += managers.map(&mut *change).sum::<usize>();
        }
        changed
    })
}

/// Changes every virtual host that a patch matches.
fn on_hosts(
    bootstrap: &mut Value,
    patch: &Value,
    change: &mut dyn FnMut(&mut Value) -> usize,
) -> usize {
    let name = patch.pointer("/match/routeConfiguration/vhost/name");
    on_managers(bootstrap, &Value::Null, &mut |manager| {
        let hosts = list(manager, "/typed_config/route_config/virtual_hosts").iter_mut();
        let matched = hosts.filter(|host| name.is_none() || host.get("name") == name);
        matched.map(&mut *change).sum()
    })
}

/// The resource of a kind and name.
fn resource<'b>(bootstrap: &'b mut Value, kind: &str, name: &str) -> Option<&'b mut Value> {
    match kind {
        "Listener" => list(bootstrap, "/static_resources/listeners")
            .iter_mut()
            .find(|listener| listener["name"] == name),
        "Cluster" => list(bootstrap, "/static_resources/clusters")
            .iter_mut()
            .find(|cluster| cluster["name"] == name),
        "RouteConfiguration" => list(bootstrap, "/static_resources/listeners")
            .iter_mut()
            .filter_map(|listener| {
                listener.pointer_mut("/default_filter_chain/filters/0/typed_config/route_config")
            })
            .find(|filter| filter["name"] == name),
        _ => None,
    }
}

/// The places that a JSONPath names, of the forms that `render` writes: `$` and members, `..` before the first, `[*]` or
/// `[?(@.name == 'NAME')]` at the end.
fn locate(resource: &Value, expression: &str) -> Result<Vec<String>, String> {
    let unknown = || format!("the path `{expression}` is not known here");
    let (path, filter) = expression
        .strip_prefix('$')
        .and_then(|rest| rest.strip_suffix(']'))
        .and_then(|rest| rest.split_once('['))
        .ok_or_else(unknown)?;
    let named = match filter {
        "*" => None,
        _ => Some(
            filter
                .strip_prefix("?(@.name == '")
                .and_then(|rest| rest.strip_suffix("')"))
                .ok_or_else(unknown)?,
        ),
    };
    let mut lists = Vec::new();
    match (path.strip_prefix(".."), path.strip_prefix('.')) {
        (Some(member), _) => descend(resource, member, String::new(), &mut lists),
        (None, Some(member)) => lists.push(format!("/{member}")),
        _ => return Err(unknown()),
    }
    let mut found = Vec::new();
    for list in lists {
        let items = resource.pointer(&list).and_then(Value::as_array);
        for (index, item) in items.into_iter().flatten().enumerate() {
            if named.is_none_or(|name| item["name"] == name) {
                found.push(format!("{list}/{index}"));
            }
        }
    }
    Ok(found)
}

/// Every place below `value` of a member of this name.
fn descend(value: &Value, member: &str, place: String, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, inner) in members {
                let place = format!("{place}/{}", name.replace('~', "~0").replace('/', "~1"));
                if name == member {
                    found.push(place.clone());
                }
                descend(inner, member, place, found);
            }
        }
        Value::Array(items) => {
            for (index, inner) in items.iter().enumerate() {
                descend(inner, member, format!("{place}/{index}"), found);
            }
        }
        _ => {}
    }
}

/// RFC 6902's `add`; says whether its place is there.
fn add(resource: &mut Value, path: &str, value: Value) -> bool {
    let Some((parent, name)) = path.rsplit_once('/') else {
        return false;
    };
    match resource.pointer_mut(parent) {
        Some(Value::Object(members)) => {
            members.insert(name.replace("~1", "/").replace("~0", "~"), value);
            true
        }
        Some(Value::Array(items)) => match name.parse() {
            Ok(at) if at <= items.len() => {
                items.insert(at, value);
                true
            }
            _ => false,
        },
        _ => false,
    }
}
