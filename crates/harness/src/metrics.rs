//! Envoy's `/stats/prometheus`, read.

/// One line: a name, its labels and a value.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// As Prometheus sees it.
    pub name: String,
    /// In the order of the line.
    pub labels: Vec<(String, String)>,
    /// Its value.
    pub value: f64,
}

impl Sample {
    /// The value of a label.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels
            .iter()
            .find(|(label, _)| label == name)
            .map(|(_, value)| value.as_str())
    }
}

/// Every sample of a Prometheus text; comments and what cannot be read are left out.
pub fn parse(text: &str) -> Vec<Sample> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(sample)
        .collect()
}

/// The sum of all samples of `name` that carry every one of `labels`.
pub fn sum(samples: &[Sample], name: &str, labels: &[(&str, &str)]) -> f64 {
    samples
        .iter()
        .filter(|sample| {
            sample.name == name
                && labels
                    .iter()
                    .all(|(label, value)| sample.label(label) == Some(value))
        })
        .map(|sample| sample.value)
        .sum()
}

fn sample(line: &str) -> Option<Sample> {
    let (series, value) = line.rsplit_once(' ')?;
    let (name, labels) = match series.split_once('{') {
        Some((name, labels)) => (name, labels.strip_suffix('}')?),
        None => (series, ""),
    };
    Some(Sample {
        name: name.to_owned(),
        labels: labels
            .split("\",")
            .filter_map(|label| {
                let (name, value) = label.split_once("=\"")?;
                Some((name.to_owned(), value.trim_end_matches('"').to_owned()))
            })
            .collect(),
        value: value.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read() {
        let text = "# TYPE a counter\na{model=\"llama-3.1-8b\",backend=\"lpu\"} 12\na{model=\"x\"} 2\nb{} 1\n\nbroken";
        let samples = parse(text);
        assert_eq!(samples.len(), 3);
        assert_eq!(sum(&samples, "a", &[]), 14.0);
        assert_eq!(sum(&samples, "a", &[("backend", "lpu")]), 12.0);
        assert_eq!(sum(&samples, "b", &[]), 1.0);
    }
}
