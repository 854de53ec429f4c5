//! Two messages, version by version. A difference that several versions share is told once, with their range.

use super::message::{Field, Message, Versions};

/// What differs, and where: the versions are added as they are found.
struct Difference {
    path: String,
    what: String,
    versions: Vec<i16>,
}

/// The differences between our message and Kafka's, one to a line.
pub(super) fn messages(ours: &Message, kafkas: &Message) -> Vec<String> {
    let mut lines = Vec::new();
    let mut whole = |what: &str, ours_says: String, kafka_says: String| {
        if ours_says != kafka_says {
            lines.push(format!("{}: {what}: ours {ours_says}, Kafka's {kafka_says}", ours.name));
        }
    };
    whole("API key", ours.api_key.to_string(), kafkas.api_key.to_string());
    whole("direction", format!("{:?}", ours.direction), format!("{:?}", kafkas.direction));
    whole("versions", ours.versions.to_string(), kafkas.versions.to_string());

    let mut found = Vec::new();
    for version in ours.versions.iter().filter(|version| kafkas.versions.contains(*version)) {
        let mut in_version = Level { version, found: &mut found };
        let flexible = |message: &Message| message.flexible.contains(version).to_string();
        in_version.differ("", "flexible", flexible(ours), flexible(kafkas));
        in_version.compare("", &ours.fields, &kafkas.fields);
    }
    lines.extend(found.iter().map(|difference| difference.line(&ours.name)));
    lines
}

impl Difference {
    fn line(&self, message: &str) -> String {
        let place = if self.path.is_empty() { String::new() } else { format!(" {}", self.path) };
        format!("{message} {}{place}: {}", ranges(&self.versions), self.what)
    }
}

/// One version of one structure.
struct Level<'a> {
    version: i16,
    found: &'a mut Vec<Difference>,
}

impl Level<'_> {
    fn compare(&mut self, path: &str, ours: &[Field], kafkas: &[Field]) {
        let ours = self.present(ours);
        let kafkas = self.present(kafkas);
        self.compare_order(path, &ours, &kafkas);
        for field in &ours {
            match kafkas.iter().find(|other| other.name == field.name) {
                Some(other) => self.compare_field(path, field, other),
                None => self.add(&join(path, &field.name), "ours has it, Kafka's does not".to_owned()),
            }
        }
        for field in kafkas.iter().filter(|field| !ours.iter().any(|other| other.name == field.name)) {
            self.add(&join(path, &field.name), "ours does not have it, Kafka's does".to_owned());
        }
    }

    fn compare_field(&mut self, path: &str, ours: &Field, kafkas: &Field) {
        let path = join(path, &ours.name);
        let version = self.version;
        let tag = |field: &Field| match field.tag.filter(|_| field.tagged.contains(version)) {
            Some(tag) => tag.to_string(),
            None => "none".to_owned(),
        };
        self.differ(&path, "type", ours.ty.clone(), kafkas.ty.clone());
        let nullable = |field: &Field| field.nullable.contains(version).to_string();
        self.differ(&path, "nullable", nullable(ours), nullable(kafkas));
        self.differ(&path, "tag", tag(ours), tag(kafkas));
        self.differ(&path, "default", format!("`{}`", ours.default), format!("`{}`", kafkas.default));
        self.differ(&path, "ignorable", ours.ignorable.to_string(), kafkas.ignorable.to_string());
        self.compare(&path, &ours.fields, &kafkas.fields);
    }

    /// Tagged fields are written in the order of their tags, all others in that of the definition.
    fn compare_order(&mut self, path: &str, ours: &[&Field], kafkas: &[&Field]) {
        let tagged = |field: &Field| field.tagged.contains(self.version);
        let common = |fields: &[&Field], others: &[&Field]| {
            let shared = |field: &&&Field| {
                others.iter().any(|other| other.name == field.name && !tagged(other) && !tagged(field))
            };
            fields.iter().filter(shared).map(|field| field.name.clone()).collect::<Vec<_>>().join(", ")
        };
        let (ours, kafkas) = (common(ours, kafkas), common(kafkas, ours));
        self.differ(path, "order", ours, kafkas);
    }

    fn present<'f>(&self, fields: &'f [Field]) -> Vec<&'f Field> {
        fields.iter().filter(|field| field.versions.contains(self.version)).collect()
    }

    fn differ(&mut self, path: &str, what: &str, ours: String, kafkas: String) {
        if ours != kafkas {
            self.add(path, format!("{what}: ours {ours}, Kafka's {kafkas}"));
        }
    }

    fn add(&mut self, path: &str, what: String) {
        let same = |known: &&mut Difference| known.path == path && known.what == what;
        match self.found.iter_mut().find(same) {
            Some(known) => known.versions.push(self.version),
            None => self.found.push(Difference { path: path.to_owned(), what, versions: vec![self.version] }),
        }
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// Ascending versions in Kafka's notation: `0-3, 5`.
fn ranges(versions: &[i16]) -> String {
    let mut ranges: Vec<Versions> = Vec::new();
    for &version in versions {
        match ranges.last_mut() {
            Some(range) if range.last + 1 == version => range.last = version,
            _ => ranges.push(Versions { first: version, last: version }),
        }
    }
    ranges.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
