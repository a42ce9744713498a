//! A notice for the people whose data it is, in English or French, generated from the configuration that was verified.
//! It states what was stated, by whom and when, and what cannot be seen. Both languages say the same things in the same
//! order; what the store, the operator or a signer worded is repeated as it was worded.

use crate::residency::check::{Check, Outcome};
use crate::residency::date;
use crate::residency::origin::Scheme;
use crate::residency::place::Pin;
use crate::residency::policy::Policy;
use crate::residency::site::Site;
use crate::residency::table::row::Class;
use crate::residency::verdict::{Sending, Verdict};

/// The language of a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Language {
    /// English.
    English,
    /// French.
    French,
}

/// A text in both languages.
type Both<'a> = [&'a str; 2];

impl Language {
    fn of(self, [english, french]: Both<'_>) -> &str {
        match self {
            Self::English => english,
            Self::French => french,
        }
    }
}

/// The notice about one site, as plain text: paragraphs, and lists of which each line begins with "- ".
pub fn notice(site: &Site, verdict: &Verdict, policy: &Policy, language: Language) -> String {
    let mut text = Text { language, lines: Vec::new() };
    text.heading(["Where the backups are kept", "Où les sauvegardes sont conservées"]);
    let when = date::utc(verdict.decided);
    text.paragraph([
        &format!("Prepared from the configuration that cairn verified at {when}."),
        &format!("Préparé à partir de la configuration que cairn a vérifiée le {when}."),
    ]);
    place(&mut text, site, policy);
    operator(&mut text, site, policy);
    checks(&mut text, verdict);
    limits(&mut text, site);
    text.finish()
}

fn place(text: &mut Text, site: &Site, policy: &Policy) {
    text.heading(["Place", "Lieu"]);
    text.item(["Site", "Site"], &format!("{} ({})", site.id, site.origin));
    let province = site.place.province.map(|province| province.as_str());
    let province = province.unwrap_or(text.language.of(["province unknown", "province inconnue"])).to_owned();
    text.item(["Place", "Lieu"], &format!("{} ({province})", site.place.city));
    match &site.declaration {
        None => text.paragraph([
            "cairn's table lists this host in this place; where that was read stands below.",
            "La table de cairn répertorie cet hôte à ce lieu; la source est indiquée plus bas.",
        ]),
        Some(declared) => {
            text.item(["Address", "Adresse"], &declared.address);
            text.item(["Declared by", "Déclaré par"], &declared.signed_by);
            text.item(["Declared on", "Déclaré le"], &date::day(declared.declared));
            let copies = match declared.replicates_to.as_str() {
                "" => text.language.of(["nothing is declared about copies", "rien n'est déclaré au sujet des copies"]),
                copies => copies,
            };
            let copies = copies.to_owned();
            text.item(["Copies made by the operator", "Copies faites par l'exploitant"], &copies);
        }
    }
    let pin = match &policy.pin {
        Pin::Canada => text.language.of(["anywhere in Canada", "partout au Canada"]).to_owned(),
        Pin::Provinces(places) => places.join(", "),
    };
    text.item(["Places that the owner allows", "Lieux que le propriétaire permet"], &pin);
    if site.class != Class::Pinned {
        let words = match site.class {
            Class::Declare => [
                "No technical check can prove this place; it rests on the declaration.",
                "Aucune vérification technique ne peut prouver ce lieu; il repose sur la déclaration.",
            ],
            _ => [
                "The host alone does not settle the place; the store has to state it before data is sent.",
                "L'hôte ne suffit pas à établir le lieu; le service doit l'indiquer avant tout envoi.",
            ],
        };
        text.paragraph(words);
    }
}

fn operator(text: &mut Text, site: &Site, policy: &Policy) {
    text.heading(["Operator and law", "Exploitant et droit applicable"]);
    text.item(["Operator", "Exploitant"], &site.operator.name);
    text.item(["The operator answers to the law of", "L'exploitant relève du droit de"], &site.operator.jurisdiction);
    let parent = match site.operator.us_parent {
        Some(true) => ["yes", "oui"],
        Some(false) => ["none known", "aucune connue"],
        None => ["unknown", "inconnu"],
    };
    let parent = text.language.of(parent).to_owned();
    text.item(["Parent company in the United States", "Société mère aux États-Unis"], &parent);
    text.item(["Source of these facts", "Source de ces renseignements"], &site.evidence);
    if policy.deny_us_parent {
        text.paragraph([
            "The owner's policy excludes operators whose parent is, or may be, in the United States.",
            "La politique du propriétaire exclut les exploitants dont la société mère est, ou pourrait être, aux États-Unis.",
        ]);
    }
    if site.operator.jurisdiction != "CA" || site.operator.us_parent != Some(false) {
        text.paragraph([
            "Authorities of another country may be able to require this operator to give access to what it holds. \
             What it holds is sealed, and cairn gives it no key.",
            "Les autorités d'un autre pays pourraient exiger de cet exploitant l'accès à ce qu'il détient. \
             Ce qu'il détient est scellé, et cairn ne lui remet aucune clé.",
        ]);
    }
}

fn checks(text: &mut Text, verdict: &Verdict) {
    text.heading(["What was checked", "Ce qui a été vérifié"]);
    text.item(["Bucket", "Compartiment"], verdict.bucket.as_str());
    for finding in &verdict.findings {
        let outcome = match finding.outcome {
            Outcome::Passed => ["passed", "conforme"],
            Outcome::Unverified => ["not verified", "non vérifié"],
            Outcome::Failed => ["failed", "non conforme"],
        };
        let mut outcome = text.language.of(outcome).to_owned();
        if let Some(exception) = &finding.excepted {
            outcome.push_str(text.language.of(["; allowed by ", "; permis par "]));
            outcome.push_str(&exception.signed_by);
            outcome.push_str(text.language.of([" until ", " jusqu'au "]));
            outcome.push_str(&date::day(exception.expires));
            outcome.push_str(": ");
            outcome.push_str(&exception.reason);
        }
        text.item(label(finding.check), &outcome);
    }
    text.paragraph(match verdict.sending() {
        Sending::Allowed => ["At that time data could be sent.", "À ce moment, des données pouvaient être envoyées."],
        Sending::Refused => {
            ["At that time cairn refused to send data there.", "À ce moment, cairn refusait d'y envoyer des données."]
        }
        Sending::NotNow => [
            "At that time a required check could not be made, and cairn sent nothing.",
            "À ce moment, une vérification obligatoire était impossible, et cairn n'envoyait rien.",
        ],
    });
}

fn label(check: Check) -> Both<'static> {
    match check {
        Check::Endpoint => ["The host is listed or declared", "L'hôte est répertorié ou déclaré"],
        Check::Pin => ["The place is allowed by the owner", "Le lieu est permis par le propriétaire"],
        Check::Parent => ["The operator is allowed by the owner", "L'exploitant est permis par le propriétaire"],
        Check::Tls => ["Encrypted connection, certificate checked", "Connexion chiffrée, certificat vérifié"],
        Check::RegionHeader => ["Region stated by the store (header)", "Région indiquée par le service (en-tête)"],
        Check::Location => ["Location stated by the store", "Emplacement indiqué par le service"],
        Check::Owner => ["Owner of the bucket", "Propriétaire du compartiment"],
        Check::Replication => ["Replication to other buckets", "Réplication vers d'autres compartiments"],
        Check::Acceleration => ["Transfer acceleration", "Accélération des transferts"],
        Check::Lifecycle => ["Rules that move or delete objects", "Règles qui déplacent ou suppriment des objets"],
        Check::Logging => ["Where access logs go", "Destination des journaux d'accès"],
        Check::Hint => ["No redirect elsewhere was observed", "Aucune redirection ailleurs n'a été observée"],
    }
}

fn limits(text: &mut Text, site: &Site) {
    text.heading(["What cairn cannot see", "Ce que cairn ne peut pas voir"]);
    for words in [
        [
            "copies that the operator makes, and work done from elsewhere by its staff or its suppliers",
            "les copies que fait l'exploitant, et le travail fait d'ailleurs par son personnel ou ses fournisseurs",
        ],
        [
            "the route of packets, which may lead through another country",
            "le trajet des paquets, qui peut passer par un autre pays",
        ],
        ["lawful access to what the operator holds", "l'accès légal à ce que détient l'exploitant"],
    ] {
        text.bullet(words);
    }
    text.paragraph([
        "Contents, file names and other details are sealed before they leave the computer. \
         The store sees sizes, times and the number of objects.",
        "Les contenus, les noms de fichiers et les autres détails sont scellés avant de quitter l'ordinateur. \
         Le service voit les tailles, les heures et le nombre d'objets.",
    ]);
    if site.origin.scheme() == Scheme::Http {
        text.paragraph([
            "The connection itself is not encrypted, as declared.",
            "La connexion elle-même n'est pas chiffrée, comme déclaré.",
        ]);
    }
}

/// Lines in one language.
struct Text {
    language: Language,
    lines: Vec<String>,
}

impl Text {
    fn heading(&mut self, words: Both<'_>) {
        if !self.lines.is_empty() {
            self.lines.push(String::new());
        }
        self.lines.push(self.language.of(words).to_owned());
        self.lines.push(String::new());
    }

    fn paragraph(&mut self, words: Both<'_>) {
        if self.lines.last().is_some_and(|last| !last.is_empty()) {
            self.lines.push(String::new());
        }
        self.lines.push(self.language.of(words).to_owned());
    }

    fn item(&mut self, label: Both<'_>, value: &str) {
        if self.lines.last().is_some_and(|last| !last.is_empty() && !last.starts_with("- ")) {
            self.lines.push(String::new());
        }
        // French typography has a space before the colon.
        let colon = self.language.of([":", "\u{a0}:"]);
        self.lines.push(format!("- {}{colon} {value}", self.language.of(label)));
    }

    fn bullet(&mut self, words: Both<'_>) {
        self.lines.push(format!("- {}", self.language.of(words)));
    }

    fn finish(self) -> String {
        let mut text = self.lines.join("\n");
        text.push('\n');
        text
    }
}
