//! Resolves the name that a client asks for to a model or a profile, and suggests names for one that means nothing.

use crate::fleet::ModelId;
use crate::fleet::ability::spelling::plain_name;
use crate::policy::compiled::Policy;
use crate::policy::names::last_of;
use crate::policy::profiles::Profile;
use crate::schema::suggest::{nearest_few, quote};

/// The meaning of a name that a client asks for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RequestedName<'p> {
    /// This model and no other.
    Model(ModelId),
    /// Any model, chosen by this profile.
    Profile(&'p Profile),
}

impl Policy {
    /// Resolves `name` as a client writes it; `None` if it is unknown or ambiguous.
    pub fn resolve(&self, name: &str) -> Option<RequestedName<'_>> {
        if let Some(profile) = self.find_profile(name) {
            return Some(RequestedName::Profile(profile));
        }
        if let Some(model) = self.registry.find_model(name) {
            return Some(RequestedName::Model(model));
        }
        let name = name.trim();
        if let Some(profile) = self.find_profile_in_any_case(name) {
            return Some(RequestedName::Profile(profile));
        }
        self.names.find(name).map(RequestedName::Model)
    }

    /// The policy's own name for the model or profile that `name` means.
    pub fn resolve_name(&self, name: &str) -> Option<&str> {
        match self.resolve(name)? {
            RequestedName::Model(id) => self.registry.model(id).map(|model| model.name.as_str()),
            RequestedName::Profile(profile) => Some(&profile.name),
        }
    }

    /// Whether `name` is the name of a profile, in any case.
    pub fn names_profile(&self, name: &str) -> bool {
        self.find_profile_in_any_case(name.trim()).is_some()
    }

    fn find_profile_in_any_case(&self, name: &str) -> Option<&Profile> {
        let mut profiles = self.profiles.iter();
        profiles.find(|profile| profile.name.eq_ignore_ascii_case(name))
    }

    /// The suffix for the error of an unknown name: the nearest names, else all of them if they are few. Empty if the policy
    /// hides its names.
    pub fn suggest(&self, name: &str) -> String {
        const MOST: usize = 3;
        const LISTED: usize = 24;
        if !self.traffic.models_endpoint {
            return String::new();
        }
        let models = self.registry.models.iter().map(|model| model.name.as_str());
        let profiles = self.profiles.iter().map(|profile| profile.name.as_str());
        let aliases = self.names.aliases.iter().map(|(alias, _)| alias.as_str());
        let (stem, _) = plain_name(name);
        let known = models.clone().chain(aliases).chain(profiles.clone());
        let near = nearest_few(&[name, last_of(name), &stem], known, MOST);
        if !near.is_empty() {
            let near: Vec<String> = near.into_iter().map(quote).collect();
            return format!("; did you mean {}?", near.join(" or "));
        }
        let mut all: Vec<&str> = models.chain(profiles).collect();
        let more = all.len().saturating_sub(LISTED);
        all.truncate(LISTED);
        let more = match more {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        format!("; available: {}{more}", all.join(", "))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;
