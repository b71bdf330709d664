//! The few words on pages that the server itself draws, in the languages of the screens. `?lang=` picks: the same address is the same
//! bytes for everybody, so that caches may keep it.

use std::borrow::Borrow;

use crate::wire::shown::Phase;

pub struct Phrases {
    pub tag: &'static str,
    /// Of the language, in itself.
    pub name: &'static str,
    pub direction: &'static str,
    /// Between thousands, and what stands behind a number of percent.
    group: &'static str,
    percent_sign: &'static str,
    pub scan_or_go_to: &'static str,
    pub and_type: &'static str,
    pub or_with_code: &'static str,
    pub results: &'static str,
    pub soon: &'static str,
    pub open: &'static str,
    pub closed: &'static str,
    not_asked: &'static str,
    pub ended: &'static str,
    round_alone: &'static str,
    provisional: &'static str,
    last: &'static str,
    pub voters_alone: &'static str,
    votes_counted: Plural,
    people_counted: Plural,
    /// Said of a star.
    pub leads: &'static str,
    pub no_votes: &'static str,
    nobody: &'static str,
    pub not_shown: &'static str,
    pub nothing_yet: &'static str,
    pub choice: &'static str,
    pub votes: &'static str,
    pub percent: &'static str,
    pub several: &'static str,
    /// What a result is worth: who could vote.
    pub proves: &'static str,
    pub vote_here: &'static str,
    pub again: &'static str,
    pub picture: &'static str,
    pub rehearsal: &'static str,
    /// For a person with an address that leads nowhere, or to something that fails.
    pub nothing_here: &'static str,
    pub nothing_here_note: &'static str,
    pub not_now: &'static str,
    pub not_now_note: &'static str,
    pub join: &'static str,
    pub qr: &'static str,
    /// Of the books.
    pub received: &'static str,
    pub counted: &'static str,
    pub superseded: &'static str,
    pub duplicate: &'static str,
    pub late: &'static str,
    /// Two questions to try, with their choices.
    pub demo_film: (&'static str, &'static [&'static str]),
    pub demo_pizza: (&'static str, &'static [&'static str]),
}

/// One wording for each form of plural that the language has, with `{n}` where the number stands; as in the catalogues of the screens.
struct Plural {
    one: &'static str,
    two: &'static str,
    few: &'static str,
    many: &'static str,
    other: &'static str,
}

impl Plural {
    const fn of(one: &'static str, other: &'static str) -> Plural {
        Plural { one, two: other, few: other, many: other, other }
    }
}

/// English for a language we do not have.
pub fn phrases(lang: Option<&str>) -> &'static Phrases {
    let wanted = lang.and_then(|l| l.get(..2)).unwrap_or("en");
    LANGUAGES.iter().find(|p| p.tag.eq_ignore_ascii_case(wanted)).unwrap_or(&LANGUAGES[0])
}

impl Phrases {
    /// As the screens write it.
    pub fn number<N: Borrow<u64>>(&self, n: N) -> String {
        let digits = n.borrow().to_string();
        // Spanish writes four digits without.
        if self.tag == "es" && digits.len() == 4 {
            return digits;
        }
        let mut written = String::with_capacity(digits.len() + digits.len() / 3 * self.group.len());
        for (at, digit) in digits.char_indices() {
            if at > 0 && (digits.len() - at).is_multiple_of(3) {
                written.push_str(self.group);
            }
            written.push(digit);
        }
        written
    }

    pub fn percent<N: Borrow<u32>>(&self, n: N) -> String {
        format!("{}{}", n.borrow(), self.percent_sign)
    }

    /// "24 votes" where each person has one, else "24 voters". "Yet" only where more may come.
    pub fn how_many(&self, are_votes: bool, n: u64, is_final: bool) -> String {
        match n {
            0 if is_final => self.nobody.to_owned(),
            0 => self.no_votes.to_owned(),
            n => self.form(if are_votes { &self.votes_counted } else { &self.people_counted }, n).replace("{n}", &self.number(n)),
        }
    }

    /// By the rules of CLDR for whole numbers, as browsers have them.
    fn form(&self, of: &Plural, n: u64) -> &'static str {
        match (self.tag, n, n % 100) {
            ("fr", 0 | 1, _) | (_, 1, _) => of.one,
            (_, 2, _) => of.two,
            (_, _, 3..=10) => of.few,
            (_, _, 11..=99) => of.many,
            _ => of.other,
        }
    }

    /// "round 2"
    pub fn round(&self, n: u32) -> String {
        format!("{} {n}", self.round_alone)
    }

    /// "Round 2", over a column.
    pub fn round_head(&self, n: u32) -> String {
        let mut letters = self.round_alone.chars();
        let first = letters.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
        format!("{first}{} {n}", letters.as_str())
    }

    /// "round 2 · ", before what is said of its result. Of the first there is nothing to say.
    pub fn round_before(&self, n: u32) -> String {
        if n > 1 { format!("{} · ", self.round(n)) } else { String::new() }
    }

    /// "round 1: 280 votes". French keeps its colon away from the word.
    pub fn of_round(&self, n: u32, what: &str) -> String {
        let colon = if self.tag == "fr" { "\u{a0}:" } else { ":" };
        format!("{}{colon} {what}", self.round(n))
    }

    pub fn status(&self, is_final: bool) -> &'static str {
        if is_final { self.last } else { self.provisional }
    }

    pub fn of(&self, phase: Phase) -> &'static str {
        match phase {
            Phase::Soon => self.soon,
            Phase::Open => self.open,
            Phase::Closed => self.closed,
            Phase::NotAsked => self.not_asked,
        }
    }
}

pub static LANGUAGES: [Phrases; 5] = [
    Phrases {
        tag: "en",
        name: "English",
        direction: "ltr",
        group: ",",
        percent_sign: "%",
        scan_or_go_to: "Scan to vote, or go to",
        and_type: "and type",
        or_with_code: "or with code",
        results: "Results",
        soon: "Not open yet",
        open: "Open",
        closed: "Closed",
        not_asked: "Was not asked",
        ended: "This event has ended.",
        round_alone: "round",
        provisional: "provisional",
        last: "final",
        voters_alone: "Voters",
        votes_counted: Plural::of("{n} vote", "{n} votes"),
        people_counted: Plural::of("{n} voter", "{n} voters"),
        leads: "Most votes",
        no_votes: "No votes yet",
        nobody: "No votes",
        not_shown: "The result has not been shown yet.",
        nothing_yet: "No question has been opened yet.",
        choice: "Choice",
        votes: "Votes",
        percent: "Percent of voters",
        several: "Several picks each, so the sum may pass 100%.",
        proves: "Anyone with the link could vote, one vote for each browser. Nobody was asked who they are.",
        vote_here: "Vote",
        again: "Load again",
        picture: "As a picture",
        rehearsal: "This is a rehearsal. No vote here is real.",
        nothing_here: "There is nothing here.",
        nothing_here_note: "Look at the address again, or join with the code you see on the screen.",
        not_now: "This does not work right now.",
        not_now_note: "Nothing was changed. Load the page again in a moment.",
        join: "Join with a code",
        qr: "QR code of the join link",
        received: "Received",
        counted: "Counted",
        superseded: "Superseded",
        duplicate: "Duplicate",
        late: "Late",
        demo_film: ("How should the film end?", &["They ride into the sunset", "The dog saves everyone", "It was all a dream", "To be continued"]),
        demo_pizza: ("What belongs on a perfect pizza?", &["Tomatoes", "Mushrooms", "Olives", "Anchovies", "Pineapple"]),
    },
    Phrases {
        tag: "de",
        name: "Deutsch",
        direction: "ltr",
        group: ".",
        percent_sign: "\u{a0}%",
        scan_or_go_to: "Scannen zum Abstimmen, oder öffne",
        and_type: "und gib ein",
        or_with_code: "oder mit Code",
        results: "Ergebnisse",
        soon: "Noch nicht offen",
        open: "Offen",
        closed: "Geschlossen",
        not_asked: "Wurde nicht gestellt",
        ended: "Diese Veranstaltung ist beendet.",
        round_alone: "Runde",
        provisional: "vorläufig",
        last: "endgültig",
        voters_alone: "Abstimmende",
        votes_counted: Plural::of("{n} Stimme", "{n} Stimmen"),
        people_counted: Plural::of("{n} Person", "{n} Personen"),
        leads: "Meiste Stimmen",
        no_votes: "Noch keine Stimmen",
        nobody: "Keine Stimmen",
        not_shown: "Das Ergebnis wurde noch nicht gezeigt.",
        nothing_yet: "Noch wurde keine Frage geöffnet.",
        choice: "Antwort",
        votes: "Stimmen",
        percent: "Prozent der Abstimmenden",
        several: "Mehrere Antworten pro Person, darum kann die Summe 100\u{a0}% übersteigen.",
        proves: "Wer den Link hatte, konnte abstimmen, eine Stimme pro Browser. Niemand wurde gefragt, wer er ist.",
        vote_here: "Abstimmen",
        again: "Neu laden",
        picture: "Als Bild",
        rehearsal: "Das ist eine Probe. Keine Stimme ist hier echt.",
        nothing_here: "Hier ist nichts.",
        nothing_here_note: "Sieh noch einmal auf die Adresse, oder mach mit dem Code mit, der auf der Leinwand steht.",
        not_now: "Das geht gerade nicht.",
        not_now_note: "Nichts wurde geändert. Lade die Seite gleich noch einmal.",
        join: "Mit Code mitmachen",
        qr: "QR-Code des Beitrittslinks",
        received: "Empfangen",
        counted: "Gezählt",
        superseded: "Ersetzt",
        duplicate: "Doppelt",
        late: "Zu spät",
        demo_film: ("Wie soll der Film enden?", &["Sie reiten in den Sonnenuntergang", "Der Hund rettet alle", "Alles war nur ein Traum", "Fortsetzung folgt"]),
        demo_pizza: ("Was gehört auf eine perfekte Pizza?", &["Tomaten", "Pilze", "Oliven", "Sardellen", "Ananas"]),
    },
    Phrases {
        tag: "fr",
        name: "Français",
        direction: "ltr",
        group: "\u{202f}",
        percent_sign: "\u{202f}%",
        scan_or_go_to: "Scannez pour voter, ou allez sur",
        and_type: "et saisissez",
        or_with_code: "ou avec le code",
        results: "Résultats",
        soon: "Pas encore ouvert",
        open: "Ouvert",
        closed: "Fermé",
        not_asked: "N’a pas été posée",
        ended: "Cet événement est terminé.",
        round_alone: "tour",
        provisional: "provisoire",
        last: "définitif",
        voters_alone: "Votants",
        votes_counted: Plural::of("{n} vote", "{n} votes"),
        people_counted: Plural::of("{n} votant", "{n} votants"),
        leads: "En tête",
        no_votes: "Pas encore de vote",
        nobody: "Aucun vote",
        not_shown: "Le résultat n’a pas encore été montré.",
        nothing_yet: "Aucune question n’a encore été ouverte.",
        choice: "Réponse",
        votes: "Votes",
        percent: "Pour cent des votants",
        several: "Plusieurs choix par personne : la somme peut dépasser 100\u{202f}%.",
        proves: "Toute personne ayant le lien pouvait voter, un vote par navigateur. Personne n’a eu à s’identifier.",
        vote_here: "Voter",
        again: "Recharger",
        picture: "En image",
        rehearsal: "Ceci est une répétition. Aucun vote n’est réel ici.",
        nothing_here: "Il n’y a rien ici.",
        nothing_here_note: "Vérifiez l’adresse, ou participez avec le code affiché à l’écran.",
        not_now: "Cela ne marche pas pour le moment.",
        not_now_note: "Rien n’a été modifié. Rechargez la page dans un instant.",
        join: "Participer avec un code",
        qr: "Code QR du lien de participation",
        received: "Reçus",
        counted: "Comptés",
        superseded: "Remplacés",
        duplicate: "En double",
        late: "Tardifs",
        demo_film: (
            "Comment le film doit-il finir ?",
            &["Ils partent au soleil couchant", "Le chien sauve tout le monde", "Tout n’était qu’un rêve", "À suivre"],
        ),
        demo_pizza: ("Que faut-il sur une pizza parfaite ?", &["Tomates", "Champignons", "Olives", "Anchois", "Ananas"]),
    },
    Phrases {
        tag: "es",
        name: "Español",
        direction: "ltr",
        group: ".",
        percent_sign: "\u{a0}%",
        scan_or_go_to: "Escanea para votar, o entra en",
        and_type: "y escribe",
        or_with_code: "o con el código",
        results: "Resultados",
        soon: "Aún no está abierta",
        open: "Abierta",
        closed: "Cerrada",
        not_asked: "No se planteó",
        ended: "Este evento ha terminado.",
        round_alone: "ronda",
        provisional: "provisional",
        last: "definitivo",
        voters_alone: "Votantes",
        votes_counted: Plural::of("{n} voto", "{n} votos"),
        people_counted: Plural::of("{n} votante", "{n} votantes"),
        leads: "Más votos",
        no_votes: "Aún no hay votos",
        nobody: "Ningún voto",
        not_shown: "El resultado aún no se ha mostrado.",
        nothing_yet: "Aún no se ha abierto ninguna pregunta.",
        choice: "Respuesta",
        votes: "Votos",
        percent: "Por ciento de votantes",
        several: "Varias respuestas por persona: la suma puede pasar del 100\u{a0}%.",
        proves: "Cualquiera con el enlace podía votar, un voto por navegador. A nadie se le preguntó quién es.",
        vote_here: "Votar",
        again: "Volver a cargar",
        picture: "Como imagen",
        rehearsal: "Esto es un ensayo. Aquí ningún voto es real.",
        nothing_here: "Aquí no hay nada.",
        nothing_here_note: "Revisa la dirección, o participa con el código que ves en la pantalla.",
        not_now: "Ahora mismo no funciona.",
        not_now_note: "No se ha cambiado nada. Vuelve a cargar la página en un momento.",
        join: "Participar con un código",
        qr: "Código QR del enlace",
        received: "Recibidos",
        counted: "Contados",
        superseded: "Sustituidos",
        duplicate: "Duplicados",
        late: "Tardíos",
        demo_film: ("¿Cómo debería acabar la película?", &["Cabalgan hacia la puesta de sol", "El perro salva a todos", "Todo fue un sueño", "Continuará"]),
        demo_pizza: ("¿Qué lleva una pizza perfecta?", &["Tomate", "Champiñones", "Aceitunas", "Anchoas", "Piña"]),
    },
    Phrases {
        tag: "ar",
        name: "العربية",
        direction: "rtl",
        group: ",",
        // The marks keep the sign behind its number, as browsers do it: behind an Arabic word it would go to the other side.
        percent_sign: "\u{200e}%\u{200e}",
        scan_or_go_to: "امسح للتصويت، أو افتح",
        and_type: "واكتب",
        or_with_code: "أو بالرمز",
        results: "النتائج",
        soon: "لم يُفتح بعد",
        open: "مفتوح",
        closed: "مغلق",
        not_asked: "لم يُطرح",
        ended: "انتهت هذه الفعالية.",
        round_alone: "الجولة",
        provisional: "مؤقت",
        last: "نهائي",
        voters_alone: "المصوّتون",
        votes_counted: Plural { one: "صوت واحد", two: "صوتان", few: "{n} أصوات", many: "{n} صوتًا", other: "{n} صوت" },
        people_counted: Plural {
            one: "مصوّت واحد", two: "مصوّتان", few: "{n} مصوّتين", many: "{n} مصوّتًا", other: "{n} مصوّت"
        },
        leads: "الأكثر أصواتًا",
        no_votes: "لا أصوات بعد",
        nobody: "لا أصوات",
        not_shown: "لم تُعرض النتيجة بعد.",
        nothing_yet: "لم يُفتح أي سؤال بعد.",
        choice: "الاختيار",
        votes: "الأصوات",
        percent: "نسبة المصوّتين",
        several: "عدة اختيارات لكل شخص، لذا قد يتجاوز المجموع 100\u{200e}%\u{200e}.",
        proves: "كان بإمكان أي شخص لديه الرابط التصويت، صوت واحد لكل متصفح. لم يُسأل أحد عن هويته.",
        vote_here: "صوّت",
        again: "تحديث",
        picture: "كصورة",
        rehearsal: "هذه تجربة. لا صوت هنا حقيقي.",
        nothing_here: "لا شيء هنا.",
        nothing_here_note: "تحقّق من العنوان، أو شارك بالرمز الظاهر على الشاشة.",
        not_now: "هذا لا يعمل الآن.",
        not_now_note: "لم يتغيّر شيء. أعد تحميل الصفحة بعد لحظة.",
        join: "شارك برمز",
        qr: "رمز QR لرابط الانضمام",
        received: "وارد",
        counted: "محتسب",
        superseded: "مستبدل",
        duplicate: "مكرر",
        late: "متأخر",
        demo_film: ("كيف ينبغي أن ينتهي الفيلم؟", &["يمضون نحو الغروب", "الكلب ينقذ الجميع", "كان كل ذلك حلمًا", "للقصة بقية"]),
        demo_pizza: ("ماذا تحتاج البيتزا المثالية؟", &["طماطم", "فطر", "زيتون", "أنشوجة", "أناناس"]),
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_the_screens_write_them() {
        let written = |lang: &str, n: u64| phrases(Some(lang)).number(n);
        for (n, english) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(written("en", n), english);
        }
        assert_eq!((written("es", 1_000), written("es", 10_000), written("fr", 1_000)), ("1000".into(), "10.000".into(), "1\u{202f}000".into()));
        let percent = |lang: &str| phrases(Some(lang)).percent(58);
        assert_eq!((percent("de"), percent("en"), percent("ar")), ("58\u{a0}%".into(), "58%".into(), "58\u{200e}%\u{200e}".into()));
    }

    #[test]
    fn votes_and_people_are_counted_as_the_screens_count_them() {
        let said = |lang: &str, are_votes: bool, n: u64| phrases(Some(lang)).how_many(are_votes, n, true);
        assert_eq!((said("en", true, 1), said("en", false, 1_204)), ("1 vote".into(), "1,204 voters".into()));
        assert_eq!((said("de", false, 1), said("fr", true, 2), said("es", false, 2)), ("1 Person".into(), "2 votes".into(), "2 votantes".into()));
        for (n, arabic) in [(1, "صوت واحد"), (2, "صوتان"), (3, "3 أصوات"), (11, "11 صوتًا"), (100, "100 صوت"), (103, "103 أصوات")]
        {
            assert_eq!(said("ar", true, n), arabic);
        }
        for words in &LANGUAGES {
            // Word by word what overlay and stage say.
            let catalogue = match words.tag {
                "en" => include_str!("../../static/overlay/en.js"),
                "de" => include_str!("../../static/overlay/de.js"),
                "fr" => include_str!("../../static/overlay/fr.js"),
                "es" => include_str!("../../static/overlay/es.js"),
                _ => include_str!("../../static/overlay/ar.js"),
            };
            for Plural { one, two, few, many, other } in [&words.votes_counted, &words.people_counted] {
                for form in [one, two, few, many, other] {
                    assert!(catalogue.contains(&format!("\"{form}\"")), "{}: {form}", words.tag);
                }
            }
        }
        assert_eq!((phrases(Some("de")).round_head(1), phrases(Some("fr")).of_round(1, "3 votes")), ("Runde 1".into(), "tour 1\u{a0}: 3 votes".into()));
    }

    #[test]
    fn what_several_picks_may_pass_is_written_as_any_other_percent() {
        for words in &LANGUAGES {
            assert!(words.several.contains(&words.percent(100)), "{}: {}", words.tag, words.several);
        }
    }
}
