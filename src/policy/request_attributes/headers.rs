//! Values of request headers.

use std::borrow::Cow;

/// A header as the host gives it.
pub type RawHeader<'a> = (&'a [u8], &'a [u8]);

/// The values of a header, in order; what is not UTF-8 is left out.
pub(crate) fn values<'a>(headers: &[RawHeader<'a>], name: &str) -> impl Iterator<Item = &'a str> {
    headers
        .iter()
        .filter(move |(other, _)| other.eq_ignore_ascii_case(name.as_bytes()))
        .filter_map(|(_, value)| std::str::from_utf8(value).ok())
}

/// The value of a header; several values are joined by `,`.
pub(crate) fn find<'a>(headers: &[RawHeader<'a>], name: &str) -> Option<Cow<'a, str>> {
    let mut values = values(headers, name);
    let first = Cow::Borrowed(values.next()?);
    Some(values.fold(first, |all, value| {
        let mut all = all.into_owned();
        all.push(',');
        all.push_str(value);
        Cow::Owned(all)
    }))
}
