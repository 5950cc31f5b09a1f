//! Provider state that a request carries and only its maker can read: which state scope may get the request, and which state is
//! taken out of its body.
//!
//! The maker is known if the answer that brought the state passed this proxy. Otherwise (another proxy of the fleet, a restart)
//! it is guessed: the backend that the conversation's earlier turns would have gone to. If requests can fail over, a wrong
//! guess costs an attempt, not an error.

use super::RoutingInput;
use crate::api::provider_state::StateItem;
use crate::fleet::BackendId;
use crate::routing::decision::Foreign;
use crate::routing::select::{
    Incumbent, MAX_FALLBACKS, NoCandidate, Selection, SelectionRequest, select,
};

/// The origin of the state that a request carries, as far as it is known.
#[derive(Debug, Clone, Copy, Default)]
pub struct StateOrigin<'a> {
    /// For each item of the request's state, the key of the state scope that made it; unknown behind the end.
    pub makers: &'a [Option<u32>],
    /// Whether a request goes on to another backend after a refusal.
    pub can_retry: bool,
}

impl StateOrigin<'_> {
    /// No maker is known, and nothing is retried.
    pub const UNKNOWN: StateOrigin<'static> = StateOrigin {
        makers: &[],
        can_retry: false,
    };
}

/// The constraints of a request's state on the choice.
pub(super) struct CarriedState<'a> {
    items: &'a [StateItem],
    state_origin: StateOrigin<'a>,
    /// Whether state is taken out for backends that cannot read it.
    drops: bool,
}

impl<'a> CarriedState<'a> {
    /// The state of a request; `None` if any backend may get it.
    pub(super) fn of(input: &RoutingInput<'a>) -> Option<CarriedState<'a>> {
        let (policy, request) = (input.policy, input.request);
        let state = &request.state;
        let api = request.api;
        if state.is_empty() || !policy.registry.has_scopes(api) {
            return None;
        }
        Some(CarriedState {
            items: &state.items,
            state_origin: input.state_origin,
            // State in the unseen part of a body cannot be taken out.
            drops: policy.traffic.drops_foreign_state && request.complete,
        })
    }

    fn maker(&self, index: usize) -> Option<u32> {
        self.state_origin.makers.get(index).copied().flatten()
    }

    /// The items that bind the request to their maker, newest first.
    fn binding(&self) -> impl Iterator<Item = (usize, &'a StateItem)> {
        let items = self.items.iter().enumerate().rev();
        items.filter(|(_, item)| !self.drops || item.is_fixed())
    }

    /// The item that binds the request, as error texts name it, and the key of the scope that made it, if it is known.
    pub(super) fn bond(&self) -> Option<(&'static str, Option<u32>)> {
        let newest = self.binding().next()?;
        let known = |(index, item): (usize, &StateItem)| Some((item.what, self.maker(index)));
        let found = self
            .binding()
            .find(|(index, _)| self.maker(*index).is_some());
        known(found.unwrap_or(newest))
    }

    /// The scope that probably made an item of unknown maker.
    fn guess(&self, input: &RoutingInput<'_>, incumbent: Option<Incumbent>) -> Option<u32> {
        let registry = &input.policy.registry;
        let incumbent = incumbent.and_then(|incumbent| registry.scope_of(incumbent.backend));
        // Files are uploaded through a path that is not routed.
        let stored = || {
            let default = &input.policy.default_cluster;
            let mut backends = registry.backends.iter();
            let found = backends.find(|backend| backend.cluster == *default);
            found.map(|backend| backend.state_scope.key)
        };
        incumbent.or_else(stored)
    }

    /// Chooses by `choose`, among the backends that the state allows.
    #[inline(never)]
    pub(super) fn choose(
        &self,
        input: &RoutingInput<'_>,
        query: &mut SelectionRequest<'_>,
        choose: impl Fn(&mut SelectionRequest<'_>) -> Result<Selection, NoCandidate>,
    ) -> Result<(Selection, Foreign), NoCandidate> {
        let bond = self.bond();
        query.scope = bond.and_then(|(_, maker)| maker);
        query.incumbent = input.find_incumbent(query, true);
        let guess = self.guess(input, query.incumbent);
        let mut done = choose(query);
        if let Some((_, None)) = bond {
            // The guessed scope is better than any other, if it has a backend for the request.
            query.scope = guess;
            let guessed = choose(query);
            if guessed.is_ok() {
                done = guessed;
            }
        }
        let mut selection = done?;
        let registry = &input.policy.registry;
        let scope = registry.scope_of(selection.chosen.backend);
        let mut foreign = Foreign::default();
        for (index, item) in self.items.iter().enumerate() {
            let maker = self.maker(index);
            let drops = self.drops && !item.is_fixed();
            let dropped = drops
                && match maker {
                    Some(_) => maker != scope,
                    None => guess != scope || !self.state_origin.can_retry,
                };
            foreign.is_guessed |=
                maker.is_none() && !dropped && (drops || matches!(bond, Some((_, None))));
            foreign.dropped.push(dropped);
        }
        if foreign.is_guessed && self.state_origin.can_retry && bond.is_some() {
            query.scope = None;
            if let Ok(all_scopes) = choose(query) {
                widen(input, &mut selection, &all_scopes);
            }
        }
        Ok((selection, foreign))
    }
}

/// Adds backends of other scopes to the chain of a guess: the scopes in turn, each with its best remaining backend.
fn widen(input: &RoutingInput<'_>, selection: &mut Selection, all_scopes: &Selection) {
    let registry = &input.policy.registry;
    let mut scopes: Vec<(Option<u32>, Vec<BackendId>)> = Vec::new();
    let own = std::iter::once(&selection.chosen.backend).chain(&selection.fallbacks);
    let others = std::iter::once(&all_scopes.chosen.backend).chain(&all_scopes.fallbacks);
    for id in own.chain(others) {
        let scope = registry.scope_of(*id);
        match scopes.iter_mut().find(|(known, _)| *known == scope) {
            Some((_, ids)) if ids.contains(id) => {}
            Some((_, ids)) => ids.push(*id),
            None => scopes.push((scope, vec![*id])),
        }
    }
    let turns = scopes.iter().map(|(_, ids)| ids.len()).max().unwrap_or(0);
    let ranked = (0..turns).flat_map(|turn| {
        let ids = scopes.iter().filter_map(move |(_, ids)| ids.get(turn));
        ids.copied()
    });
    // The first is the chosen one itself.
    selection.fallbacks = ranked.skip(1).take(MAX_FALLBACKS).collect();
}

/// Chooses for a request without state.
#[inline(never)]
pub(super) fn choose_freely(
    input: &RoutingInput<'_>,
    query: &mut SelectionRequest<'_>,
    choose: impl Fn(&mut SelectionRequest<'_>) -> Result<Selection, NoCandidate>,
) -> Result<(Selection, Foreign), NoCandidate> {
    query.incumbent = input.find_incumbent(query, false);
    Ok((choose(query)?, Foreign::default()))
}

/// Selects a backend. Shares give way before a request is refused or goes to a backend that is down.
pub(super) fn select_within_shares(
    input: &RoutingInput<'_>,
    query: &mut SelectionRequest<'_>,
    is_down: impl Fn(&Selection) -> bool,
) -> Result<Selection, NoCandidate> {
    let registry = &input.policy.registry;
    let done = select(registry, input.profile, query);
    let fails = done.as_ref().map_or(true, is_down);
    if query.over_share.is_empty() || !fails {
        return done;
    }
    let open = SelectionRequest {
        over_share: &[],
        ..*query
    };
    select(registry, input.profile, &open)
}
