//! The words of codes: two lists of 256, so that a word is a byte, and two words in the wrong order are seen to be that.
//!
//! They were chosen to be spelt and told apart by who hears them on a bad line: common words of two syllables, seldom
//! three, of four to nine letters, none of which begins with the same three letters as another of its list, sounds like
//! another of either list, or is two letters away from another of its own. None is rude, and none is about anybody.

/// A list of words, in alphabetical order.
pub(super) struct Words([&'static str; 256]);

/// What stands first: what something is like.
#[rustfmt::skip]
pub(super) static FIRST: Words = Words([
    "adroit", "alert", "alpine", "amber", "ample", "ancient", "angled", "aquatic", "arctic", "ardent",
    "argyle", "artful", "august", "autumn", "awake", "azure", "balmy", "basil", "beaming", "beloved",
    "blooming", "bonny", "breezy", "bronze", "buttered", "camel", "canvas", "carbon", "cashmere", "central",
    "chalky", "cheery", "chirping", "choral", "cinder", "citrus", "classic", "clever", "cloudy", "cobalt",
    "copper", "corduroy", "cosmic", "cozy", "crinkled", "crystal", "cubic", "curious", "dancing", "dazzling",
    "delicate", "desert", "dewy", "diving", "dotted", "downhill", "drifting", "eager", "earnest", "elegant",
    "embossed", "emerald", "eminent", "epic", "evening", "fabled", "faithful", "famous", "fanciful",
    "feathery", "festive", "flannel", "fleeting", "flinty", "fluffy", "fragrant", "fresco", "friendly",
    "frosty", "future", "gallant", "genuine", "gilded", "glacial", "gliding", "global", "gracious",
    "grinning", "growing", "handmade", "harmonic", "hazelnut", "hearty", "heirloom", "helpful", "herbal",
    "hidden", "hilly", "honest", "hopeful", "hovering", "humble", "ideal", "impish", "inky", "instant",
    "iron", "jaunty", "jazzy", "jingling", "jovial", "jumping", "kindly", "knitted", "lasting", "laurel",
    "lavender", "leafy", "lilac", "linen", "lively", "lofty", "lucky", "luminous", "lunar", "lustrous",
    "lyric", "magic", "mango", "marine", "midnight", "mineral", "modern", "molten", "mulberry", "mustard",
    "mystic", "navy", "nestled", "noble", "nutty", "open", "organic", "ornate", "owlish", "oyster", "painted",
    "parchment", "pastel", "patchwork", "peaceful", "peppered", "perky", "pinstripe", "playful", "pleated",
    "polar", "precise", "primal", "quirky", "radiant", "rainy", "rapid", "regular", "relaxed", "resonant",
    "robust", "rolling", "ruby", "ruffled", "rugged", "rural", "rustling", "sailing", "satin", "scarlet",
    "scented", "seaside", "serene", "seventh", "shady", "sienna", "silken", "sincere", "sleepy", "smoky",
    "snappy", "snuggly", "soaring", "solemn", "sonic", "southern", "sparkly", "speckled", "spiral",
    "splendid", "spotless", "sprightly", "stable", "steamy", "stippled", "striped", "sturdy", "sugary",
    "summer", "sunset", "supple", "tailored", "tapestry", "tartan", "tasty", "thatched", "thrifty", "tidy",
    "toasted", "tonal", "topical", "tranquil", "treetop", "tropic", "tufted", "tundra", "turquoise",
    "twilight", "ultra", "unfurled", "unique", "upbeat", "upstream", "uptown", "urban", "useful", "vanilla",
    "vaulted", "velvet", "verdant", "vibrant", "vigilant", "village", "violet", "vital", "vivid", "warming",
    "welcome", "western", "whimsical", "willow", "winged", "wooden", "yarrow", "yodeling", "youthful",
    "zealous", "zenith", "zestful", "zippy",
]);

/// What stands second: what it is.
#[rustfmt::skip]
pub(super) static SECOND: Words = Words([
    "agate", "alcove", "alder", "almond", "anchor", "anthem", "anvil", "arbor", "artist", "aspen", "atlas",
    "awning", "badger", "bagpipe", "balloon", "bamboo", "banjo", "barrel", "basket", "beagle", "blender",
    "bobcat", "bonsai", "brigade", "bronco", "bubble", "bulldog", "cabin", "cactus", "canal", "carpet",
    "castle", "catfish", "cavern", "cedar", "chalet", "chestnut", "chickpea", "cobbler", "comet", "concert",
    "corgi", "cosmos", "croissant", "crumpet", "curtain", "cyclone", "cypress", "dahlia", "daisy", "daybreak",
    "delta", "dewdrop", "diamond", "dogwood", "dolphin", "donut", "dormouse", "dragon", "dumpling", "easel",
    "eclair", "eggshell", "egret", "endive", "falcon", "ferry", "fiesta", "flounder", "foghorn", "fortress",
    "fossil", "fountain", "foxglove", "freckle", "fritter", "galley", "garlic", "gecko", "gerbil", "ginger",
    "giraffe", "glacier", "goldfish", "gopher", "gosling", "griddle", "guitar", "gumdrop", "hammock",
    "harness", "hatchet", "heather", "helmet", "herring", "hippo", "honeybee", "husky", "hyena", "ibex",
    "igloo", "island", "jackal", "jaguar", "jasmine", "jelly", "jewel", "jigsaw", "journey", "jubilee",
    "jungle", "keepsake", "kernel", "kestrel", "kettle", "keystone", "kitten", "kiwi", "knapsack", "lacrosse",
    "lagoon", "lantern", "lapwing", "lattice", "lemon", "leopard", "lily", "lizard", "llama", "locust",
    "lupin", "macaw", "magnet", "mallow", "mammoth", "mantis", "maple", "marten", "meadow", "mermaid", "mesa",
    "meteor", "minnow", "mirror", "monsoon", "mosaic", "mustang", "nectar", "nightfall", "nimbus", "noodle",
    "nougat", "nutmeg", "oasis", "oatmeal", "olive", "orange", "orbit", "orchid", "osprey", "ostrich",
    "otter", "outpost", "owlet", "paddle", "palace", "pancake", "papaya", "parrot", "patio", "peanut",
    "pencil", "peony", "pepper", "picnic", "pigment", "pilot", "pinwheel", "piston", "pizza", "plankton",
    "plover", "pollen", "pompom", "popcorn", "pretzel", "primrose", "puffin", "pumpkin", "puzzle", "python",
    "quasar", "quokka", "rabbit", "radish", "raisin", "rhino", "rhubarb", "ribbon", "river", "rocket",
    "rooster", "saffron", "sailor", "sandbox", "sardine", "scallop", "seagull", "skillet", "skylark",
    "slalom", "snorkel", "soda", "solstice", "sonnet", "spaniel", "spinach", "squirrel", "starling",
    "steamer", "strudel", "summit", "sundial", "tapir", "teaspoon", "temple", "terrace", "thermos", "thunder",
    "timber", "topaz", "tortoise", "toucan", "tower", "treasure", "trinket", "truffle", "tugboat", "tulip",
    "turtle", "union", "valise", "viola", "vortex", "waffle", "wagtail", "walnut", "wetland", "whistle",
    "wildcat", "windmill", "wombat", "woodwork", "zebra", "zephyr", "zigzag",
]);

/// As many letters as say which word of a list is meant.
const ENOUGH: usize = 3;

impl Words {
    /// The word of a number.
    pub(super) fn word(&self, number: u8) -> &'static str {
        self.0[usize::from(number)]
    }

    /// The number of a word, or of the one word that begins so; in lower case.
    pub(super) fn number(&self, typed: &str) -> Option<u8> {
        let exactly = self.0.binary_search(&typed).ok();
        let begun = || match self.beginning_with(typed).as_slice() {
            [one] if typed.len() >= ENOUGH => self.0.binary_search(one).ok(),
            _ => None,
        };
        exactly.or_else(begun).and_then(|number| u8::try_from(number).ok())
    }

    /// The words that begin so.
    pub(super) fn beginning_with(&self, start: &str) -> Vec<&'static str> {
        self.0.iter().copied().filter(|word| word.starts_with(start)).collect()
    }

    /// The word that is spelt most like one that is not of this list, if any is.
    pub(super) fn nearest(&self, typed: &str) -> Option<&'static str> {
        let distance = |word: &&&str| strsim::damerau_levenshtein(typed, word);
        let nearest = self.0.iter().min_by_key(distance)?;
        (distance(&nearest) <= 2).then_some(*nearest)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// How many letters make one word another.
    fn apart(one: &str, other: &str) -> usize {
        strsim::levenshtein(one, other)
    }

    #[test]
    fn a_list_is_in_order_and_all_of_it_is_letters() {
        for list in [&FIRST, &SECOND] {
            assert!(list.0.is_sorted());
            for word in list.0 {
                assert!((4..=9).contains(&word.len()), "{word}");
                assert!(word.bytes().all(|byte| byte.is_ascii_lowercase()), "{word}");
            }
        }
    }

    #[test]
    fn three_letters_say_which_word_is_meant() {
        for list in [&FIRST, &SECOND] {
            let beginnings: BTreeSet<_> = list.0.iter().map(|word| &word[..ENOUGH]).collect();
            assert_eq!(beginnings.len(), 256);
            for (number, word) in (0..=u8::MAX).zip(list.0) {
                assert_eq!((list.number(word), list.number(&word[..ENOUGH])), (Some(number), Some(number)));
                assert_eq!(list.number(&word[..ENOUGH - 1]), None, "{word}");
            }
        }
    }

    #[test]
    fn no_word_is_taken_for_another() {
        for list in [&FIRST, &SECOND] {
            for (number, word) in list.0.iter().enumerate() {
                let near = list.0[number + 1..].iter().find(|other| apart(word, other) < 3);
                assert_eq!(near, None, "{word}");
            }
        }
        for word in FIRST.0 {
            assert_eq!(SECOND.0.iter().find(|other| apart(word, other) < 2), None, "{word}");
        }
    }

    #[test]
    fn a_word_that_is_misspelt_is_found() {
        assert_eq!(FIRST.nearest("velvte"), Some("velvet"));
        assert_eq!(SECOND.nearest("oter"), Some("otter"));
        assert_eq!(SECOND.nearest("hexadecimal"), None);
    }
}
