//! The bounds of a policy from a source: it cannot change where requests go, nor whose credentials go there.
//!
//! Both belong to Envoy's configuration, which was rendered for the inline policy. A document may leave them out, and then
//! gets what was rendered; it may repeat them; it may not pair them otherwise.

use super::{Refusal, check_clusters};
use crate::fleet::{Backend, ClientHeaders, Credentials, Endpoint, StateScope};
use crate::policy::Policy;

/// The bounds of every policy.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bounds {
    /// The clusters that requests can be sent to; any if there is no list.
    pub clusters: Option<Vec<String>>,
    /// The backends that were rendered; any if there is no list.
    pub backends: Option<Vec<Rendered>>,
    /// Whether a document may name no other backends: with failover Envoy picks clusters by the names of backends. Without
    /// failover a new backend gets what was rendered for its cluster.
    pub by_name: bool,
}

/// The rendered fields of a backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    name: String,
    cluster: String,
    endpoint: Option<Endpoint>,
    credentials: Option<Credentials>,
    client: ClientHeaders,
    state_scope: StateScope,
}

impl Rendered {
    fn new(backend: &Backend) -> Rendered {
        Rendered {
            name: backend.name.clone(),
            cluster: backend.cluster.clone(),
            endpoint: backend.endpoint.clone(),
            credentials: backend.credentials.clone(),
            client: backend.client,
            state_scope: backend.state_scope.clone(),
        }
    }

    /// The first field in which `backend` differs. `by_name` is [`Bounds::by_name`]: without failover a backend may move to
    /// another cluster, and only the path of its endpoint counts.
    fn find_other(&self, backend: &Backend, by_name: bool) -> Option<&'static str> {
        let path =
            |endpoint: &Option<Endpoint>| endpoint.as_ref().map(|endpoint| endpoint.path.clone());
        let own_path = path(&self.endpoint).unwrap_or_default();
        let is_own = match by_name {
            true => backend.endpoint == self.endpoint,
            false => path(&backend.endpoint) == Some(own_path),
        };
        if backend.endpoint.is_some() && !is_own {
            return Some("endpoint");
        }
        if let Some(stated) = &backend.credentials {
            let Some(own) = &self.credentials else {
                return Some("credentials");
            };
            let pairs = [
                ("credentials.env", stated.env != own.env),
                ("credentials.header", stated.header != own.header),
                ("credentials.prefix", stated.prefix != own.prefix),
                (
                    "credentials.other_paths",
                    stated.other_paths != own.other_paths,
                ),
            ];
            if let Some((field, _)) = pairs.into_iter().find(|(_, differs)| *differs) {
                return Some(field);
            }
        }
        let (stated, own) = (backend.client, self.client);
        if stated.credentials_stated && stated.credentials != own.credentials {
            return Some("client_credentials");
        }
        if stated.address_stated && stated.address != own.address {
            return Some("client_address");
        }
        let (stated, own) = (&backend.state_scope, &self.state_scope);
        (stated.is_stated && stated.name != own.name).then_some("state_scope")
    }

    fn fill_in(&self, backend: &mut Backend) {
        backend.endpoint.clone_from(&self.endpoint);
        backend.credentials.clone_from(&self.credentials);
        backend.client = self.client;
        backend.state_scope.clone_from(&self.state_scope);
    }
}

impl Bounds {
    /// The bounds of a policy that was rendered.
    #[inline(never)]
    pub fn rendered(policy: &Policy, by_name: bool) -> Bounds {
        let backends = policy.registry.backends.iter();
        Bounds {
            clusters: None,
            backends: Some(backends.map(Rendered::new).collect()),
            by_name,
        }
    }

    /// Holds `policy` to the bounds: fields that it leaves out become those that were rendered.
    ///
    /// # Errors
    /// [`Refusal::Cluster`], [`Refusal::Backend`] or [`Refusal::Pair`] with the first violation.
    #[inline(never)]
    pub fn bind(&self, policy: &mut Policy) -> Result<(), Refusal> {
        if let Some(allowed) = &self.clusters {
            check_clusters(policy, allowed)?;
        }
        let Some(rendered) = &self.backends else {
            return Ok(());
        };
        for backend in &mut policy.registry.backends {
            let found = self.find(rendered, backend);
            if found.is_none() && self.by_name {
                return Err(Refusal::Backend {
                    name: backend.name.clone(),
                    cluster: backend.cluster.clone(),
                });
            }
            let nothing;
            let own = match found {
                Some(own) => own,
                // An allowed cluster for which no backend was rendered.
                None => {
                    nothing = nothing_for(backend, rendered);
                    &nothing
                }
            };
            if let Some(field) = own.find_other(backend, self.by_name) {
                return Err(Refusal::Pair {
                    backend: backend.name.clone(),
                    field,
                });
            }
            own.fill_in(backend);
        }
        Ok(())
    }

    fn find<'r>(&self, rendered: &'r [Rendered], backend: &Backend) -> Option<&'r Rendered> {
        let in_cluster = || {
            rendered
                .iter()
                .filter(|known| known.cluster == backend.cluster)
        };
        let named = in_cluster().find(|known| known.name == backend.name);
        if named.is_some() || self.by_name {
            return named;
        }
        // Several backends may share a cluster: take the one that this one repeats, or the first.
        let mut repeated = in_cluster();
        repeated
            .find(|known| known.find_other(backend, false).is_none())
            .or_else(|| in_cluster().next())
    }
}

/// The bounds of a backend for which nothing was rendered: no credentials, and the client's headers as for a cluster of the
/// mesh. It may declare a state scope of its own, but not join a rendered one.
fn nothing_for(backend: &Backend, rendered: &[Rendered]) -> Rendered {
    let own = &backend.state_scope;
    let joins = rendered
        .iter()
        .any(|known| known.state_scope.key == own.key);
    Rendered {
        name: backend.name.clone(),
        cluster: backend.cluster.clone(),
        endpoint: None,
        credentials: None,
        client: ClientHeaders {
            credentials: backend.client.credentials,
            address: backend.client.address,
            ..ClientHeaders::default()
        },
        state_scope: match joins {
            true => StateScope::new(backend.cluster.clone()),
            false => own.clone(),
        },
    }
}
