//! The words of the report, in English and French. What the log says in codes is said in words, as far as it has any.

/// The texts of one language.
pub(super) struct Words {
    pub(super) code: &'static str,
    pub(super) title: &'static str,
    pub(super) intro: &'static str,
    pub(super) logs: &'static str,
    pub(super) sent: &'static str,
    pub(super) back: &'static str,
    pub(super) places: &'static str,
    pub(super) custody: &'static str,
    pub(super) gaps: &'static str,
    pub(super) glossary: &'static str,
    pub(super) none: &'static str,
    pub(super) not_stated: &'static str,
    pub(super) no_key: &'static str,
    pub(super) headings: [&'static str; 6],
    pub(super) ok: &'static str,
    pub(super) faults: &'static str,
    pub(super) terms: &'static [(&'static str, &'static str)],
    pub(super) repository: &'static str,
    pub(super) leaves: &'static str,
    pub(super) receipts: &'static str,
    pub(super) leaf_of: [&'static str; 2],
    pub(super) never_signed: [&'static str; 2],
    pub(super) not_signed_for: [&'static str; 3],
    pub(super) changes: &'static str,
    /// Types of leaves, results, names of fields and what they say.
    pub(super) said: &'static [(&'static str, &'static str)],
}

/// English.
pub(super) const ENGLISH: Words = Words {
    code: "en",
    title: "What was sent and what was recovered",
    intro: "Made from the signed log of the backup client. Everything below is as reported by the host that signed it; \
            statements about places are as stated by the operators of the storage. This report supports, and does not replace, \
            the judgement of whoever is accountable. Check the log with verify.py and the key that was enrolled.",
    logs: "Logs",
    sent: "Sent",
    back: "Recovered",
    places: "Where it went, as stated by the storage operators",
    custody: "Who can read it",
    gaps: "Gaps, refusals, and what is not acknowledged",
    glossary: "Glossary",
    none: "Nothing in this period.",
    not_stated: "not stated",
    no_key: "Not known: the report was made without a key of the repository.",
    headings: ["Time (UTC)", "Event", "Result", "Files", "Bytes", "Details"],
    ok: "verifies",
    faults: "DOES NOT VERIFY",
    repository: "repository",
    leaves: "leaves",
    receipts: "receipts",
    leaf_of: ["leaf", "of"],
    never_signed: ["witness", "has never signed"],
    not_signed_for: ["witness", "has not signed for", "days"],
    changes: "Keys that were added or removed",
    said: &[
        ("closed_by", "closed by"),
        ("content.recovered", "content recovered"),
        ("err", "why"),
        ("exit", "exit code"),
        ("key.added", "key added"),
        ("key.removal", "key to be removed"),
        ("log.opened", "log begun"),
        ("op", "command"),
        ("ref", "reference"),
        ("residency.checked", "place checked"),
        ("residency.refused", "place refused"),
        ("run.finished", "run finished"),
        ("run.started", "run started"),
        ("snapshot.committed", "snapshot complete"),
        ("snapshot.forgetting", "snapshot to be forgotten"),
        ("snapshot.prepared", "snapshot sent"),
        ("to_repository", "to repository"),
        ("unspecified", "not stated"),
    ],
    terms: &[
        ("leaf", "one event in the log; its exact bytes are signed"),
        ("checkpoint", "a signed statement of how long the log is and what is in it"),
        (
            "receipt",
            "somebody else's signature: received, and consistent with what was seen before; not: confirmed as true",
        ),
        ("token", "stands for a name; only who holds the repository's key can tell which"),
        (
            "partial",
            "the run did a part of what it was asked to, or ended without a word and was closed by the next one",
        ),
    ],
};

/// French, as it is written in Canada.
pub(super) const FRENCH: Words = Words {
    code: "fr",
    title: "Ce qui a été transmis et ce qui a été récupéré",
    intro: "Établi à partir du journal signé du client de sauvegarde. Tout ce qui suit est tel que rapporté par l'hôte qui l'a \
            signé; les indications de lieu sont telles que déclarées par les exploitants du stockage. Ce rapport appuie, sans le \
            remplacer, le jugement de la personne responsable. Vérifiez le journal avec verify.py et la clé inscrite.",
    logs: "Journaux",
    sent: "Transmis",
    back: "Récupéré",
    places: "Où cela est allé, tel que déclaré par les exploitants du stockage",
    custody: "Qui peut le lire",
    gaps: "Lacunes, refus et ce dont il n'a pas été accusé réception",
    glossary: "Glossaire",
    none: "Rien pendant cette période.",
    not_stated: "non indiqué",
    no_key: "Inconnu : le rapport a été établi sans clé du dépôt.",
    headings: ["Heure (UTC)", "Événement", "Résultat", "Fichiers", "Octets", "Détails"],
    ok: "se vérifie",
    faults: "NE SE VÉRIFIE PAS",
    repository: "dépôt",
    leaves: "feuilles",
    receipts: "reçus",
    leaf_of: ["feuille", "de"],
    never_signed: ["le témoin", "n'a jamais signé"],
    not_signed_for: ["le témoin", "n'a pas signé depuis", "jours"],
    changes: "Clés ajoutées ou supprimées",
    said: &[
        ("access-request", "demande d'accès"),
        ("archive", "archivage"),
        ("backup", "sauvegarde"),
        ("closed_by", "clos par"),
        ("content.recovered", "contenu récupéré"),
        ("endpoint", "point d'accès"),
        ("err", "raison"),
        ("exit", "code de sortie"),
        ("fail", "échec"),
        ("failover", "basculement"),
        ("first", "premier"),
        ("key file", "fichier de clé"),
        ("key-file", "fichier de clé"),
        ("key.added", "clé ajoutée"),
        ("key.removal", "clé à supprimer"),
        ("kind", "type"),
        ("legal", "juridique"),
        ("log.opened", "journal commencé"),
        ("op", "commande"),
        ("other", "autre"),
        ("partial", "partiel"),
        ("password", "mot de passe"),
        ("place", "lieu"),
        ("purpose", "finalité"),
        ("reason", "raison"),
        ("recovery", "clé de récupération"),
        ("recovery key", "clé de récupération"),
        ("ref", "référence"),
        ("refused", "refusé"),
        ("residency-refused", "lieu refusé"),
        ("residency.checked", "lieu vérifié"),
        ("residency.refused", "lieu refusé"),
        ("restore", "restauration"),
        ("run.finished", "exécution terminée"),
        ("run.started", "exécution commencée"),
        ("site", "site"),
        ("slot", "emplacement"),
        ("snapshot", "instantané"),
        ("snapshot.committed", "instantané complet"),
        ("snapshot.forgetting", "instantané à oublier"),
        ("snapshot.prepared", "instantané transmis"),
        ("state-not-writable", "état non inscriptible"),
        ("test", "essai"),
        ("to_repository", "vers le dépôt"),
        ("unspecified", "non indiquée"),
        ("unverified", "non vérifié"),
    ],
    terms: &[
        ("leaf (feuille)", "un événement du journal; ses octets exacts sont signés"),
        ("checkpoint (point de contrôle)", "une déclaration signée de la longueur et du contenu du journal"),
        (
            "receipt (reçu)",
            "la signature d'un tiers : reçu, et cohérent avec ce qui avait été vu; non pas : confirmé comme vrai",
        ),
        ("token (jeton)", "tient lieu d'un nom; seul qui détient la clé du dépôt peut dire lequel"),
        (
            "partial (partiel)",
            "l'exécution a fait une partie du travail, ou s'est arrêtée sans rien dire et a été close par la suivante",
        ),
    ],
};

impl Words {
    /// What stands for a code of the log; the code itself where there is none.
    pub(super) fn of(&self, code: &str) -> String {
        let found = self.said.iter().find(|(known, _)| *known == code);
        found.map_or_else(|| code.to_owned(), |(_, text)| (*text).to_owned())
    }

    /// A number of bytes.
    pub(super) fn bytes(&self, count: u64) -> String {
        let text = crate::values::size(count);
        if self.code == "fr" { text.replace('.', ",").replace("iB", "io").replace(" B", " o") } else { text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_in_order_and_said_once() {
        for words in [&ENGLISH, &FRENCH] {
            assert!(words.said.is_sorted_by(|a, b| a.0 < b.0), "{}", words.code);
        }
        assert_eq!(FRENCH.of("snapshot.prepared"), "instantané transmis");
        assert_eq!(ENGLISH.of("aws:ca-central-1"), "aws:ca-central-1");
        assert_eq!(FRENCH.bytes(12_345), "12,1 Kio");
    }
}
