//! The names of models: own names, aliases, the names that backends serve, and the usual spellings of each (another case, a
//! vendor before the name, a date after it).
//!
//! The closest reading counts. If two models are equally close, the name means neither.

use crate::fleet::ability::spelling::plain_name;
use crate::fleet::{Backend, Model, ModelId};
use crate::policy::profiles::Profile;
use crate::schema::document::Node;
use crate::schema::problems::Problems;
use crate::schema::shape::{Field, Kind, optional};
use crate::schema::suggest::quote;
use crate::sort;

pub(crate) const ALIASES_FIELD: Field = optional(
    "aliases",
    Kind::List {
        of: &Kind::Text,
        min: 0,
    },
    "none",
    "Other names by which clients ask for the model. No alias is needed for the `served_model` of its backends, another case, a vendor before the name or a date after it (`openai/gpt-4o-2024-08-06`), if the name is unambiguous.",
);

/// The names by which clients may ask for models, each group in the order of its texts.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ModelNames {
    /// Aliases as they are written.
    pub(crate) aliases: Vec<(String, ModelId)>,
    /// Names and aliases in lower case; `None` if two models have it.
    folded: Vec<(String, Option<ModelId>)>,
    /// The names that backends serve, in lower case.
    served: Vec<(String, Option<ModelId>)>,
    /// The part of each of them after the last `/`.
    last: Vec<(String, Option<ModelId>)>,
    /// All of them without vendor, date and storage, and the date.
    plain: Vec<(String, String, ModelId)>,
}

impl ModelNames {
    /// From the compiled parts; adds a problem for each alias that means something else already.
    #[inline(never)]
    pub(crate) fn compile(
        root: &Node,
        models: &[Model],
        backends: &[Backend],
        profiles: &[Profile],
        problems: &mut Problems<'_>,
    ) -> ModelNames {
        let mut names = ModelNames::default();
        for (index, node) in root.items_of("models").iter().enumerate() {
            for (place, item) in node.items_of("aliases").iter().enumerate() {
                let Some(alias) = item.text().filter(|alias| !alias.is_empty()) else {
                    continue;
                };
                let at = format!("models[{index}].aliases[{place}]");
                match names.meaning(alias, models, profiles) {
                    Some(meant) => {
                        let message = format!("{} is already {meant}", quote(alias));
                        problems.add(item.at, at, message);
                    }
                    None => names
                        .aliases
                        .push((alias.to_owned(), ModelId(index as u32))),
                }
            }
        }
        names.fill(models, backends);
        names
    }

    /// The present meaning of a name that is to become an alias; case is ignored.
    fn meaning(&self, name: &str, models: &[Model], profiles: &[Profile]) -> Option<String> {
        let is_same = |other: &str| other.to_lowercase() == name.to_lowercase();
        if models.iter().any(|model| is_same(&model.name)) {
            return Some("the name of a model".to_owned());
        }
        if profiles.iter().any(|profile| is_same(&profile.name)) {
            return Some("the name of a profile".to_owned());
        }
        let (_, model) = self.aliases.iter().find(|(alias, _)| is_same(alias))?;
        let model = models.get(model.0 as usize)?;
        Some(format!("an alias of {}", quote(&model.name)))
    }

    fn fill(&mut self, models: &[Model], backends: &[Backend]) {
        let ids = (0..models.len()).map(|index| ModelId(index as u32));
        let own = models.iter().map(|model| model.name.as_str()).zip(ids);
        let aliases = self.aliases.iter().map(|(alias, id)| (alias.as_str(), *id));
        let own: Vec<(&str, ModelId)> = own.chain(aliases).collect();
        let served = backends
            .iter()
            .map(|backend| (backend.served_model.as_str(), backend.model));
        let all: Vec<(&str, ModelId)> = own.iter().copied().chain(served.clone()).collect();
        let mut plain: Vec<(String, String, ModelId)> = all
            .iter()
            .map(|(name, id)| {
                let (stem, date) = plain_name(name);
                (stem, date, *id)
            })
            .collect();
        sort::sort(&mut plain);
        plain.dedup();
        let last = all.iter().map(|(name, id)| (last_of(name), *id));
        let (folded, served, last) = (group(own.into_iter()), group(served), group(last));
        (self.folded, self.served, self.last, self.plain) = (folded, served, last, plain);
    }

    /// The model that `name` means; `None` where it means none, or two.
    pub(crate) fn find(&self, name: &str) -> Option<ModelId> {
        let lower = name.to_lowercase();
        for (group, written) in [
            (&self.folded, lower.as_str()),
            (&self.served, &lower),
            (&self.last, last_of(&lower)),
        ] {
            if let Some(found) = look_up(group, written) {
                return found;
            }
        }
        let (stem, date) = plain_name(name);
        let start = self.plain.partition_point(|(other, ..)| *other < stem);
        let same = self.plain.get(start..).unwrap_or_default();
        let same = || same.iter().take_while(|(other, ..)| *other == stem);
        // Two dates are two models; a name without one means the one that there is.
        let dated = same().filter(|(_, other, _)| *other == date);
        let undated = same().filter(|(_, other, _)| other.is_empty() || date.is_empty());
        only(dated.map(|(.., id)| *id)).or_else(|| only(undated.map(|(.., id)| *id)))
    }
}

/// The part of a name after the last `/`.
pub(crate) fn last_of(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

/// The names in lower case, sorted; of one that two models have none is meant.
fn group<'a>(names: impl Iterator<Item = (&'a str, ModelId)>) -> Vec<(String, Option<ModelId>)> {
    let mut sorted: Vec<(String, ModelId)> =
        names.map(|(name, id)| (name.to_lowercase(), id)).collect();
    sort::sort(&mut sorted);
    let mut group: Vec<(String, Option<ModelId>)> = Vec::with_capacity(sorted.len());
    for (name, id) in sorted {
        match group.last_mut() {
            Some((last, meant)) if *last == name => {
                if *meant != Some(id) {
                    *meant = None;
                }
            }
            _ => group.push((name, Some(id))),
        }
    }
    group
}

fn look_up(group: &[(String, Option<ModelId>)], name: &str) -> Option<Option<ModelId>> {
    let at = group
        .binary_search_by(|(other, _)| other.as_str().cmp(name))
        .ok()?;
    group.get(at).map(|(_, id)| *id)
}

/// The one that all of them are.
fn only(mut ids: impl Iterator<Item = ModelId>) -> Option<ModelId> {
    let first = ids.next()?;
    ids.all(|id| id == first).then_some(first)
}
