//! The few words on pages that the server itself draws, in the languages of the screens. `?lang=` picks: the same address is the same
//! bytes for everybody, so that caches may keep it.

use std::borrow::Borrow;

use crate::wire::shown::Phase;

pub struct Phrases {
    pub tag: &'static str,
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
    round_alone: &'static str,
    pub provisional: &'static str,
    pub last: &'static str,
    pub voters_alone: &'static str,
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

    /// "Voters: 24". French keeps its colon away from the word.
    pub fn voters<N: Borrow<u64>>(&self, n: N) -> String {
        let colon = if self.tag == "fr" { "\u{a0}:" } else { ":" };
        format!("{}{colon} {}", self.voters_alone, self.number(n))
    }

    /// "round 2 · ", before what is said of its result. Of the first there is nothing to say.
    pub fn round_before<N: Borrow<u32>>(&self, n: N) -> String {
        match n.borrow() {
            0 | 1 => String::new(),
            n => format!("{} {n} · ", self.round_alone),
        }
    }

    /// "Yet" only where more may come.
    pub fn without_votes(&self, is_final: bool) -> &'static str {
        if is_final { self.nobody } else { self.no_votes }
    }

    pub fn of(&self, phase: Phase) -> &'static str {
        match phase {
            Phase::Soon => self.soon,
            Phase::Open => self.open,
            Phase::Closed => self.closed,
        }
    }
}

static LANGUAGES: [Phrases; 5] = [
    Phrases {
        tag: "en",
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
        round_alone: "round",
        provisional: "provisional",
        last: "final",
        voters_alone: "Voters",
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
        round_alone: "Runde",
        provisional: "vorläufig",
        last: "endgültig",
        voters_alone: "Abstimmende",
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
        round_alone: "tour",
        provisional: "provisoire",
        last: "définitif",
        voters_alone: "Votants",
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
        round_alone: "ronda",
        provisional: "provisional",
        last: "definitivo",
        voters_alone: "Votantes",
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
        round_alone: "الجولة",
        provisional: "مؤقت",
        last: "نهائي",
        voters_alone: "المصوّتون",
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
    fn what_several_picks_may_pass_is_written_as_any_other_percent() {
        for words in &LANGUAGES {
            assert!(words.several.contains(&words.percent(100)), "{}: {}", words.tag, words.several);
        }
    }
}
