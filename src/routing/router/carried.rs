//! State that a request carries and only its maker can read: which state scope may have the request, and what is taken out of
//! its body.
//!
//! Who made it is known where the answer that brought it passed this proxy. Elsewhere (another proxy of the fleet, a restart) it
//! is guessed: most likely the backend made it that the conversation's earlier turns would have been sent to. Where
//! requests can fail over, a wrong guess costs an attempt, not an error.

use super::RoutingInput;
use crate::api::provider_state::StateItem;
use crate::fleet::BackendId;
use crate::routing::decision::Foreign;
use crate::routing::select::{
    Incumbent, MAX_FALLBACKS, NoCandidate, Selection, SelectionRequest, select,
};

/// What is known of who made the state that a request carries.
#[derive(Debug, Clone, Copy, Default)]
pub struct Makers<'a> {
    /// The key of the state scope of each item of the request's state; unknown behind the end.
    pub known: &'a [Option<u32>],
    /// Whether requests go on to another backend when one refuses them.
    pub can_retry: bool,
}

impl Makers<'_> {
    /// Nothing is known, and nothing is retried.
    pub const NONE: Makers<'static> = Makers {
        known: &[],
        can_retry: false,
    };
}

/// What the state of a request demands of the choice.
pub(super) struct Carried<'a> {
    items: &'a [StateItem],
    makers: Makers<'a>,
    /// Whether state is taken out for those who cannot read it.
    drops: bool,
}

impl<'a> Carried<'a> {
    /// What `demand` carries; `None` where it is all the same who gets it.
    pub(super) fn of(demand: &RoutingInput<'a>) -> Option<Carried<'a>> {
        let (policy, request) = (demand.policy, demand.request);
        let state = &request.state;
        let api = request.api;
        if state.is_empty() || !policy.registry.has_scopes(api) {
            return None;
        }
        Some(Carried {
            items: &state.items,
            makers: demand.makers,
            // What is not seen cannot be taken out.
            drops: policy.traffic.drops_foreign_state && request.complete,
        })
    }

    fn maker(&self, index: usize) -> Option<u32> {
        self.makers.known.get(index).copied().flatten()
    }

    /// The items that bind the request to their maker, the newest first.
    fn binding(&self) -> impl Iterator<Item = (usize, &'a StateItem)> {
        let items = self.items.iter().enumerate().rev();
        items.filter(|(_, item)| !self.drops || item.is_fixed())
    }

    /// What binds the request, as error texts name it, and the key of the scope that made it, where that is known.
    pub(super) fn bond(&self) -> Option<(&'static str, Option<u32>)> {
        let newest = self.binding().next()?;
        let known = |(index, item): (usize, &StateItem)| Some((item.what, self.maker(index)));
        let found = self
            .binding()
            .find(|(index, _)| self.maker(*index).is_some());
        known(found.unwrap_or(newest))
    }

    /// The scope that probably made what nobody knows the maker of.
    fn guess(&self, demand: &RoutingInput<'_>, incumbent: Option<Incumbent>) -> Option<u32> {
        let registry = &demand.policy.registry;
        let incumbent = incumbent.and_then(|one| registry.scope_of(one.backend));
        // Files are sent to a path that nobody decides on.
        let stored = || {
            let default = &demand.policy.default_cluster;
            let mut backends = registry.backends.iter();
            let found = backends.find(|one| one.cluster == *default);
            found.map(|one| one.state_scope.key)
        };
        incumbent.or_else(stored)
    }

    /// Chooses as `choose` does with an ask, but only whom the state allows.
    pub(super) fn choose(
        &self,
        demand: &RoutingInput<'_>,
        ask: &mut SelectionRequest<'_>,
        choose: impl Fn(&mut SelectionRequest<'_>) -> Result<Selection, NoCandidate>,
    ) -> Result<(Selection, Foreign), NoCandidate> {
        let bond = self.bond();
        ask.scope = bond.and_then(|(_, maker)| maker);
        ask.incumbent = demand.find_incumbent(ask, true);
        let guess = self.guess(demand, ask.incumbent);
        let mut done = choose(ask);
        if let Some((_, None)) = bond {
            // Of several answers the guess is the better one, if it can be had.
            ask.scope = guess;
            let guessed = choose(ask);
            if guessed.is_ok() {
                done = guessed;
            }
        }
        let mut selection = done?;
        let registry = &demand.policy.registry;
        let scope = registry.scope_of(selection.chosen.backend);
        let mut foreign = Foreign::default();
        for (index, item) in self.items.iter().enumerate() {
            let maker = self.maker(index);
            let drops = self.drops && !item.is_fixed();
            let dropped = drops
                && match maker {
                    Some(_) => maker != scope,
                    None => guess != scope || !self.makers.can_retry,
                };
            foreign.is_guessed |=
                maker.is_none() && !dropped && (drops || matches!(bond, Some((_, None))));
            foreign.dropped.push(dropped);
        }
        if foreign.is_guessed && self.makers.can_retry && bond.is_some() {
            ask.scope = None;
            if let Ok(everybody) = choose(ask) {
                widen(demand, &mut selection, &everybody);
            }
        }
        Ok((selection, foreign))
    }
}

/// Puts backends of other scopes into the chain of a guess: the scopes in turn, each with its best backend that is left.
fn widen(demand: &RoutingInput<'_>, selection: &mut Selection, everybody: &Selection) {
    let registry = &demand.policy.registry;
    let mut scopes: Vec<(Option<u32>, Vec<BackendId>)> = Vec::new();
    let own = std::iter::once(&selection.chosen.backend).chain(&selection.fallbacks);
    let others = std::iter::once(&everybody.chosen.backend).chain(&everybody.fallbacks);
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

/// Chooses for a request that carries nothing.
pub(super) fn choose_freely(
    demand: &RoutingInput<'_>,
    ask: &mut SelectionRequest<'_>,
    choose: impl Fn(&mut SelectionRequest<'_>) -> Result<Selection, NoCandidate>,
) -> Result<(Selection, Foreign), NoCandidate> {
    ask.incumbent = demand.find_incumbent(ask, false);
    Ok((choose(ask)?, Foreign::default()))
}

/// The choice of `select`, in which shares give way before anybody is refused, or sent where nobody answers.
pub(super) fn select_within_shares(
    demand: &RoutingInput<'_>,
    ask: &mut SelectionRequest<'_>,
    is_down: impl Fn(&Selection) -> bool,
) -> Result<Selection, NoCandidate> {
    let registry = &demand.policy.registry;
    let done = select(registry, demand.profile, ask);
    let fails = done.as_ref().map_or(true, is_down);
    if ask.barred.is_empty() || !fails {
        return done;
    }
    let open = SelectionRequest {
        barred: &[],
        ..*ask
    };
    select(registry, demand.profile, &open)
}
