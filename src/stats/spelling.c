/* British to American spelling, so that a transcript is not charged for a model's or a corpus'
 * habit.
 *
 * The pairs are those that Whisper's normaliser knows (MIT licence, copyright 2022 OpenAI; from
 * tysto.com's list): about 1,700 words, kept as 500 beginnings with the ends they hold for. Rules
 * such as "ise becomes ize" were rejected: they change "advertise" and "wise". The list has its
 * gaps ("civilisation" is not in it while "colonisation" is) and they are kept, for numbers that
 * can be compared with others' count more than a better list.
 * Known difference: "archaeology" becomes "archeology"; the original has a stray HTML tag there.
 *
 * Invariant: `rows` is sorted by `british`, no two are equal. */
#include "stats/spelling.h"

#include <string.h>

#include "base/auto.h"

#define ISE "e ed es ing"
#define ISATION "ation e ed es ing"
#define LED "led ling"
#define S "- s"

static const struct spelling rows[] = {
    {"accessoris", "accessoriz", ISE}, {"acclimatis", "acclimatiz", ISATION},
    {"accoutre", "accouter", "ments"},
    {"ae", "e", "on ons sthete sthetes sthetic sthetically sthetics tiology"},
    {"aero", "air", "plane planes"}, {"aerogramme", "aerogram", S}, {"age", "ag", "ing"},
    {"aggrandis", "aggrandiz", "ement"}, {"agonis", "agoniz", "e ed es ing ingly"},
    {"almanack", "almanac", S}, {"alumini", "alumin", "um"},
    {"amortis", "amortiz", "able ation ations e ed es ing"}, {"amphitheatre", "amphitheater", S},
    {"ana", "an", "emia emic esthesia esthetic esthetics esthetist esthetists esthetize "
     "esthetized esthetizes esthetizing"},
    {"anaesthetis", "anesthetiz", ISE}, {"analogue", "analog", S}, {"analys", "analyz", ISE},
    {"anglicis", "angliciz", ISE}, {"annualis", "annualiz", "ed"}, {"antagonis", "antagoniz", ISE},
    {"apologis", "apologiz", ISE}, {"appa", "appal", "l ls"},
    {"appetis", "appetiz", "er ers ing ingly"}, {"arbou", "arbo", "r rs"},
    {"arch", "archa", "eological"}, {"archa", "arch", "eologically eologist eologists eology"},
    {"ardou", "ardo", "r"}, {"armou", "armo", "r red rer rers ries ry"},
    {"arte", "arti", "fact facts"}, {"authoris", "authoriz", ISE}, {"axe", "ax", "-"},
    {"backpedal", "backpeda", LED}, {"ban", "ba", "nister nisters"}, {"baptis", "baptiz", ISE},
    {"bastardis", "bastardiz", ISE}, {"battleax", "battleaxe", "-"},
    {"bau", "ba", "lk lked lking lks"}, {"bedevil", "bedevi", LED},
    {"beh", "beho", "ove oved oves"}, {"behaviou", "behavio", "r ral rism rist rists rs"},
    {"bejewel", "bejewe", "led"}, {"belabou", "belabo", "r red ring rs"}, {"bev", "be", "vies vy"},
    {"bevel", "beve", "led"}, {"bias", "bia", "sed sing"}, {"binge", "bing", "ing"},
    {"bougainvilla", "bougainvill", "ea eas"}, {"bowdleris", "bowdleriz", ISE},
    {"breathalys", "breathalyz", "e ed er ers es ing"}, {"brutalis", "brutaliz", ISE},
    {"bus", "bu", "ses sing"}, {"ca", "c", "esarean esareans"},
    {"cal", "ca", "liper lipers listhenics"}, {"calibre", "caliber", S},
    {"canalis", "canaliz", ISE}, {"cance", "cancel", "lation lations"}, {"cancel", "cance", LED},
    {"candou", "cando", "r"}, {"cannibalis", "cannibaliz", ISE}, {"canonis", "canoniz", ISE},
    {"capitalis", "capitaliz", ISE}, {"caramelis", "carameliz", ISE}, {"carbonis", "carboniz", ISE},
    {"carol", "caro", LED}, {"catalogu", "catalog", "ed ing"}, {"catalogue", "catalog", S},
    {"catalys", "catalyz", ISE}, {"categoris", "categoriz", ISE}, {"cauteris", "cauteriz", ISE},
    {"cavil", "cavi", LED}, {"cent", "cente", "red"}, {"centigramme", "centigram", S},
    {"centilitre", "centiliter", S}, {"centimetre", "centimeter", S},
    {"centralis", "centraliz", ISE}, {"centre", "center", "- fold folds piece pieces s"},
    {"channel", "channe", LED}, {"characteris", "characteriz", ISE}, {"chequ", "check", "ered"},
    {"cheque", "check", "- book books s"}, {"chil", "chi", "li"}, {"chima", "chim", "era eras"},
    {"chisel", "chise", LED}, {"circularis", "circulariz", ISE}, {"civilis", "civiliz", ISE},
    {"clamou", "clamo", "r red ring rs"}, {"clangou", "clango", "r"},
    {"clarinet", "clarine", "tist tists"}, {"collectivis", "collectiviz", ISE},
    {"colonis", "coloniz", "ation e ed er ers es ing"},
    {"colou", "colo", "r rant rants red reds rful rfully ring rize rized rizes rizing rless rs"},
    {"commercialis", "commercializ", ISE}, {"compartmentalis", "compartmentaliz", ISE},
    {"computeris", "computeriz", ISE}, {"conceptualis", "conceptualiz", ISE},
    {"connex", "connect", "ion ions"}, {"contextualis", "contextualiz", ISE},
    {"cos", "coz", "ier ies iest ily iness y"}, {"council", "counci", "lor lors"},
    {"counsel", "counse", "led ling lor lors"}, {"crene", "crenel", "lated"},
    {"criminalis", "criminaliz", ISE}, {"criticis", "criticiz", ISE}, {"cruel", "crue", "ler lest"},
    {"crystallis", "crystalliz", ISATION}, {"cudgel", "cudge", LED}, {"customis", "customiz", ISE},
    {"cy", "ci", "pher phers"}, {"decentralis", "decentraliz", ISATION},
    {"decriminalis", "decriminaliz", ISATION}, {"defenc", "defens", "e eless es"},
    {"dehumanis", "dehumaniz", ISATION}, {"demeanou", "demeano", "r"},
    {"demilitaris", "demilitariz", ISATION}, {"demobilis", "demobiliz", ISATION},
    {"democratis", "democratiz", ISATION}, {"demonis", "demoniz", ISE},
    {"demoralis", "demoraliz", ISATION}, {"denationalis", "denationaliz", ISATION},
    {"deodoris", "deodoriz", ISE}, {"depersonalis", "depersonaliz", ISE},
    {"deputis", "deputiz", ISE}, {"desensitis", "desensitiz", ISATION},
    {"destabilis", "destabiliz", ISATION}, {"dial", "dia", LED}, {"dialogue", "dialog", S},
    {"diarrho", "diarrh", "ea"}, {"digitis", "digitiz", ISE}, {"disc", "disk", S},
    {"discolou", "discolo", "r red ring rs"}, {"disembowel", "disembowe", LED},
    {"disfavou", "disfavo", "r"}, {"dishevel", "disheve", "led"},
    {"dishonou", "dishono", "r rable rably red ring rs"}, {"disorganis", "disorganiz", "ation ed"},
    {"disti", "distil", "l ls"}, {"dramatis", "dramatiz", "ation ations e ed es ing"},
    {"draugh", "draf", "t tboard tboards tier tiest ts tsman tsmanship tsmen tswoman tswomen ty"},
    {"drivel", "drive", LED}, {"duel", "due", LED}, {"economis", "economiz", ISE},
    {"editorialis", "editorializ", ISE}, {"edo", "ed", "ema"}, {"empathis", "empathiz", ISE},
    {"emphasis", "emphasiz", ISE}, {"enamel", "ename", LED}, {"enamou", "enamo", "red"},
    {"encyclopa", "encyclop", "edia edias edic"}, {"endeavou", "endeavo", "r red ring rs"},
    {"energis", "energiz", ISE}, {"enro", "enrol", "l ls"}, {"enthra", "enthral", "l ls"},
    {"epaulette", "epaulet", S}, {"epicentre", "epicenter", S}, {"epilogue", "epilog", S},
    {"epitomis", "epitomiz", ISE}, {"equalis", "equaliz", "ation e ed er ers es ing"},
    {"eulogis", "eulogiz", ISE}, {"evangelis", "evangeliz", ISE}, {"exorcis", "exorciz", ISE},
    {"extemporis", "extemporiz", ISATION}, {"externalis", "externaliz", "ation ations e ed es ing"},
    {"fa", "f", "ecal eces"}, {"factoris", "factoriz", ISE}, {"familiaris", "familiariz", ISATION},
    {"fantasis", "fantasiz", ISE}, {"favou", "favo", "r rable rably red ring rite rites ritism rs"},
    {"feminis", "feminiz", ISE}, {"fertilis", "fertiliz", "ation e ed er ers es ing"},
    {"fervou", "fervo", "r"}, {"fibre", "fiber", "- glass s"},
    {"fictionalis", "fictionaliz", "ation ations e ed es ing"},
    {"fil", "fi", "let leted leting lets"}, {"finalis", "finaliz", ISATION},
    {"fla", "fl", "utist utists"}, {"flavou", "flavo", "r red ring rings rless rs rsome"},
    {"fo", "f", "etal etid etus etuses"}, {"formalis", "formaliz", ISATION},
    {"fossilis", "fossiliz", ISATION}, {"fraternis", "fraterniz", ISATION},
    {"fulfi", "fulfil", "l lment ls"}, {"funnel", "funne", LED}, {"ga", "gau", "ge ged ges ging"},
    {"galvanis", "galvaniz", ISE}, {"gambol", "gambo", LED},
    {"gao", "jai", "l lbird lbirds lbreak lbreaks led ler lers ling ls"}, {"gas", "ga", "ses"},
    {"generalis", "generaliz", "ation ations e ed es ing"}, {"ghettois", "ghettoiz", ISE},
    {"gi", "gy", "psies"}, {"glamo", "glamou", "r"}, {"glamoris", "glamoriz", ISE},
    {"globalis", "globaliz", ISATION}, {"glue", "glu", "ing"}, {"goitre", "goiter", S},
    {"gonorrho", "gonorrh", "ea"}, {"gramme", "gram", S}, {"gravel", "grave", "led"},
    {"gre", "gra", "y yed ying yish yness ys"}, {"grovel", "grove", LED}, {"groyne", "groin", S},
    {"gruel", "grue", "ling lingly"}, {"grypho", "griffi", "n ns"},
    {"gyna", "gyn", "ecological ecologist ecologists ecology"},
    {"ha", "h", "ematological ematologist ematologists ematology emoglobin emophilia emophiliac "
     "emophiliacs emorrhage emorrhaged emorrhages emorrhaging emorrhoids"},
    {"harbou", "harbo", "r red ring rs"}, {"harmonis", "harmoniz", ISATION},
    {"homo", "hom", "eopath eopathic eopaths eopathy"}, {"homogenis", "homogeniz", ISE},
    {"honou", "hono", "r rable rably red ring rs"}, {"hospitalis", "hospitaliz", ISATION},
    {"humanis", "humaniz", ISE}, {"humou", "humo", "r red ring rless rs"},
    {"hybridis", "hybridiz", ISE}, {"hypnotis", "hypnotiz", ISE}, {"hypothesis", "hypothesiz", ISE},
    {"idealis", "idealiz", ISATION}, {"idolis", "idoliz", ISE},
    {"immobilis", "immobiliz", "ation e ed er ers es ing"}, {"immortalis", "immortaliz", ISE},
    {"immunis", "immuniz", ISATION}, {"impanel", "impane", LED}, {"imperil", "imperi", LED},
    {"individualis", "individualiz", ISE}, {"industrialis", "industrializ", ISE},
    {"inflex", "inflect", "ion ions"}, {"initial", "initia", LED}, {"initialis", "initializ", ISE},
    {"insta", "instal", "l lment lments ls"}, {"insti", "instil", "l ls"},
    {"institutionalis", "institutionaliz", ISATION}, {"intellectualis", "intellectualiz", ISE},
    {"internalis", "internaliz", ISATION}, {"internationalis", "internationaliz", ISATION},
    {"ionis", "ioniz", "ation e ed er ers es ing"}, {"italicis", "italiciz", ISE},
    {"itemis", "itemiz", ISE}, {"jeopardis", "jeopardiz", ISE}, {"jewel", "jewe", "led ler lers"},
    {"jewelle", "jewel", "ry"}, {"judge", "judg", "ment"}, {"kilogramme", "kilogram", S},
    {"kilometre", "kilometer", S}, {"label", "labe", LED},
    {"labou", "labo", "r red rer rers ring rs"}, {"lacklustre", "lackluster", "-"},
    {"legalis", "legaliz", ISATION}, {"legitimis", "legitimiz", ISE}, {"leuka", "leuk", "emia"},
    {"level", "leve", "led ler lers ling"}, {"libel", "libe", "led ling lous"},
    {"liberalis", "liberaliz", ISATION}, {"licenc", "licens", ISE}, {"like", "lik", "able"},
    {"lionis", "lioniz", ISATION}, {"liquidis", "liquidiz", "e ed er ers es ing"},
    {"litre", "liter", S}, {"localis", "localiz", ISE}, {"louv", "louve", "red"},
    {"louvre", "louver", S}, {"lustre", "luster", "-"}, {"m", "h", "mm"},
    {"magnetis", "magnetiz", ISE}, {"manoeuv", "maneuve", "rability rable red ring rings"},
    {"manoeuvre", "maneuver", S}, {"marginalis", "marginaliz", ISATION}, {"marshal", "marsha", LED},
    {"marvel", "marve", "led ling lous lously"}, {"materialis", "materializ", ISATION},
    {"maximis", "maximiz", ISATION}, {"meagre", "meager", "-"}, {"mechanis", "mechaniz", ISATION},
    {"media", "medi", "eval"}, {"memorialis", "memorializ", ISE}, {"memoris", "memoriz", ISE},
    {"mesmeris", "mesmeriz", ISE}, {"metabolis", "metaboliz", ISE}, {"metre", "meter", S},
    {"mh", "hm", "m"}, {"micrometre", "micrometer", S}, {"militaris", "militariz", ISE},
    {"milligramme", "milligram", S}, {"millilitre", "milliliter", S},
    {"millimetre", "millimeter", S}, {"miniaturis", "miniaturiz", ISATION},
    {"minibus", "minibu", "ses"}, {"minimis", "minimiz", ISE}, {"misbehaviou", "misbehavio", "r"},
    {"misdemeanou", "misdemeano", "r rs"}, {"misspelt", "misspelled", "-"}, {"mitre", "miter", S},
    {"mo", "m", "ustache ustached ustaches ustachioed"}, {"mobilis", "mobiliz", ISATION},
    {"model", "mode", "led ler lers ling"}, {"modernis", "moderniz", ISE},
    {"moisturis", "moisturiz", "e ed er ers es ing"}, {"monologue", "monolog", S},
    {"monopolis", "monopoliz", ISATION}, {"moralis", "moraliz", ISE}, {"motoris", "motoriz", "ed"},
    {"mou", "mo", "ld lded lder ldered ldering lders ldier ldiest lding ldings lds ldy lt lted "
     "lting lts"},
    {"multicolou", "multicolo", "red"}, {"nationalis", "nationaliz", "ation ations e ed es ing"},
    {"naturalis", "naturaliz", ISATION},
    {"neighbou", "neighbo", "r rhood rhoods ring rliness rly rs"},
    {"neutralis", "neutraliz", ISATION}, {"normalis", "normaliz", ISATION},
    {"odou", "odo", "r rless rs"}, {"oe", "e", "sophagus sophaguses strogen"},
    {"offenc", "offens", "e es"}, {"omelette", "omelet", S}, {"optimis", "optimiz", ISE},
    {"organis", "organiz", "ation ational ations e ed er ers es ing"},
    {"orthopa", "orthop", "edic edics"}, {"ostracis", "ostraciz", ISE},
    {"outmanoeuv", "outmaneuve", "red ring"}, {"outmanoeuvre", "outmaneuver", S},
    {"overemphasis", "overemphasiz", ISE}, {"oxidis", "oxidiz", ISATION}, {"p", "piz", "zazz"},
    {"pa", "p", "ederast ederasts ediatric ediatrician ediatricians ediatrics edophile edophiles "
     "edophilia"},
    {"pala", "pal", "eolithic eontologist eontologists eontology"},
    {"panel", "pane", "led ling list lists"}, {"paralys", "paralyz", ISE}, {"parcel", "parce", LED},
    {"parlou", "parlo", "r rs"}, {"particularis", "particulariz", ISE},
    {"passivis", "passiviz", ISATION}, {"pasteuris", "pasteuriz", ISATION},
    {"patronis", "patroniz", "e ed es ing ingly"}, {"pedal", "peda", LED},
    {"pedestrianis", "pedestrianiz", ISATION}, {"penalis", "penaliz", ISE},
    {"pencil", "penci", LED}, {"personalis", "personaliz", ISE},
    {"pharmacopo", "pharmacop", "eia eias"}, {"philosophis", "philosophiz", ISE},
    {"philtre", "filter", S}, {"phone", "phon", "y"}, {"plagiaris", "plagiariz", ISE},
    {"plough", "plow", "- ed ing man men s share shares"}, {"polaris", "polariz", ISATION},
    {"politicis", "politiciz", ISATION}, {"popularis", "populariz", ISATION}, {"pouffe", "pouf", S},
    {"pra", "pr", "esidium esidiums"}, {"practis", "practic", ISE},
    {"pressuris", "pressuriz", ISATION}, {"pretenc", "pretens", "e es"}, {"prima", "prim", "eval"},
    {"prioritis", "prioritiz", ISATION}, {"privatis", "privatiz", "ation ations e ed es ing"},
    {"professionalis", "professionaliz", ISATION}, {"programme", "program", S},
    {"prologue", "prolog", S}, {"propagandis", "propagandiz", ISE},
    {"proselytis", "proselytiz", "e ed er ers es ing"}, {"psychoanalys", "psychoanalyz", ISE},
    {"publicis", "publiciz", ISE}, {"pulveris", "pulveriz", ISATION}, {"pummelled", "pummel", "-"},
    {"pummelling", "pummeled", "-"}, {"py", "pa", "jama jamas"}, {"quarrel", "quarre", LED},
    {"radicalis", "radicaliz", ISE}, {"rancou", "ranco", "r"}, {"randomis", "randomiz", ISE},
    {"rationalis", "rationaliz", "ation ations e ed es ing"}, {"ravel", "rave", LED},
    {"realis", "realiz", "able ation ations e ed es ing"},
    {"recognis", "recogniz", "able ably ance e ed es ing"}, {"reconnoit", "reconnoite", "red ring"},
    {"reconnoitre", "reconnoiter", S}, {"refuel", "refue", LED},
    {"regularis", "regulariz", ISATION}, {"remodel", "remode", LED},
    {"remou", "remo", "ld lded lding lds"}, {"reorganis", "reorganiz", "ation ations e ed es ing"},
    {"revel", "reve", "led ler lers ling"}, {"revitalis", "revitaliz", ISE},
    {"revolutionis", "revolutioniz", ISE}, {"rhapsodis", "rhapsodiz", ISE},
    {"rigou", "rigo", "r rs"}, {"ritualis", "ritualiz", "ed"}, {"rival", "riva", LED},
    {"romanticis", "romanticiz", ISE}, {"rumou", "rumo", "r red rs"}, {"sabre", "saber", S},
    {"saltpetre", "saltpeter", "-"}, {"sanitis", "sanitiz", ISE}, {"satiris", "satiriz", ISE},
    {"saviou", "savio", "r rs"}, {"savou", "savo", "r red ries ring rs ry"},
    {"sc", "sk", "eptic eptical eptically epticism eptics"}, {"scandalis", "scandaliz", ISE},
    {"sceptre", "scepter", S}, {"scrutinis", "scrutiniz", ISE}, {"secularis", "seculariz", ISATION},
    {"sensationalis", "sensationaliz", ISE}, {"sensitis", "sensitiz", ISE},
    {"sentimentalis", "sentimentaliz", ISE}, {"sepulchre", "sepulcher", S},
    {"serialis", "serializ", "ation ations e ed es ing"}, {"sermonis", "sermoniz", ISE},
    {"sheikh", "sheik", "-"}, {"shovel", "shove", LED}, {"shrivel", "shrive", LED},
    {"signal", "signa", LED}, {"signalis", "signaliz", ISE},
    {"smou", "smo", "lder ldered ldering lders"}, {"snivel", "snive", LED},
    {"snorkel", "snorke", LED}, {"snowplough", "snowplow", "-"}, {"snowploughs", "snowplow", "-"},
    {"socialis", "socializ", ISATION}, {"sodomis", "sodomiz", ISE}, {"solemnis", "solemniz", ISE},
    {"sombre", "somber", "-"}, {"specialis", "specializ", "ation ations e ed es ing"},
    {"spectre", "specter", S}, {"spiral", "spira", LED}, {"splendou", "splendo", "r rs"},
    {"squirrel", "squirre", LED}, {"stabilis", "stabiliz", "ation e ed er ers es ing"},
    {"standardis", "standardiz", ISATION}, {"stencil", "stenci", LED},
    {"sterilis", "steriliz", "ation ations e ed er ers es ing"},
    {"stigmatis", "stigmatiz", ISATION}, {"store", "stor", "y"}, {"storey", "storie", "s"},
    {"subsidis", "subsidiz", "ation e ed er ers es ing"}, {"succou", "succo", "r red ring rs"},
    {"sulph", "sulf", "ate ates ide ides ur urous"}, {"summaris", "summariz", ISE},
    {"swivel", "swive", LED}, {"sy", "si", "phon phoned phoning phons"},
    {"symbolis", "symboliz", ISE}, {"sympathis", "sympathiz", "e ed er ers es ing"},
    {"synchronis", "synchroniz", ISATION}, {"synthesis", "synthesiz", "e ed er ers es ing"},
    {"systematis", "systematiz", ISATION}, {"tantalis", "tantaliz", "e ed es ing ingly"},
    {"tassel", "tasse", "led"}, {"technicolou", "technicolo", "r"}, {"temporis", "temporiz", ISE},
    {"tenderis", "tenderiz", ISE}, {"terroris", "terroriz", ISE},
    {"theatre", "theater", "- goer goers s"}, {"theoris", "theoriz", ISE}, {"tonne", "ton", S},
    {"towel", "towe", LED}, {"toxa", "tox", "emia"},
    {"tranquil", "tranqui", "lity lize lized lizer lizers lizes lizing"},
    {"tranquill", "tranquilit", "y"}, {"tranquillis", "tranquiliz", "e ed er ers es ing"},
    {"transistoris", "transistoriz", "ed"}, {"traumatis", "traumatiz", ISE},
    {"travel", "trave", "led ler lers ling"}, {"travelog", "travelogue", S}, {"trial", "tria", LED},
    {"tricolou", "tricolo", "r rs"}, {"trivialis", "trivializ", ISE}, {"tumou", "tumo", "r rs"},
    {"tunnel", "tunne", LED}, {"ty", "ti", "re res"}, {"tyrannis", "tyranniz", ISE},
    {"unauthoris", "unauthoriz", "ed"}, {"uncivilis", "unciviliz", "ed"},
    {"underutilis", "underutiliz", "ed"}, {"unequal", "unequa", "led"},
    {"unfavou", "unfavo", "rable rably"}, {"unionis", "unioniz", ISATION},
    {"unorganis", "unorganiz", "ed"}, {"unravel", "unrave", LED},
    {"unrecognis", "unrecogniz", "able ed"}, {"unrival", "unriva", "led"},
    {"unsavou", "unsavo", "ry"}, {"untrammel", "untramme", "led"}, {"urbanis", "urbaniz", ISATION},
    {"utilis", "utiliz", "able ation e ed es ing"}, {"valou", "valo", "r"},
    {"vandalis", "vandaliz", ISE}, {"vaporis", "vaporiz", ISATION}, {"vapou", "vapo", "r rs"},
    {"verbalis", "verbaliz", ISE}, {"victimis", "victimiz", ISATION}, {"videodisc", "videodisk", S},
    {"vigou", "vigo", "r"}, {"visualis", "visualiz", "ation ations e ed es ing"},
    {"vocalis", "vocaliz", "ation ations e ed es ing"}, {"vulcanis", "vulcaniz", "ed"},
    {"vulgaris", "vulgariz", ISATION}, {"wag", "wa", "gon gons"},
    {"watercolou", "watercolo", "r rs"}, {"weasel", "wease", LED},
    {"westernis", "westerniz", ISATION}, {"womanis", "womaniz", "e ed er ers es ing"},
    {"wool", "woo", "len lens lies ly"}, {"worship", "worshi", "ped per ping"},
    {"yodel", "yode", LED}, {"yogh", "yog", "urt urts"}, {"yogho", "yog", "urt urts"},
};

/* strncmp order of a table entry and the first `len` bytes of a word. */
static int compare_prefix(const char *british, const char *word, size_t len)
{
    int order = strncmp(british, word, len);
    return order ? order : british[len] != '\0';
}

static bool has_end(const char *ends, const char *end, size_t len)
{
    if (len == 0) {
        end = "-";
        len = 1;
    }
    for (const char *at = ends; *at;) {
        size_t size = strcspn(at, " ");
        if (size == len && memcmp(at, end, len) == 0)
            return true;
        at += size + (at[size] == ' ');
    }
    return false;
}

static const struct spelling *find_prefix(const char *word, size_t len)
{
    size_t low = 0, high = ARRAY_LEN(rows);
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = compare_prefix(rows[middle].british, word, len);
        if (order == 0)
            return &rows[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

const struct spelling *stats_spelling_find(const char *word, size_t len)
{
    enum { LONGEST = 24 }; /* no word of the list is longer */
    for (size_t part = len <= LONGEST ? len : 0; part > 0; part--) {
        const struct spelling *row = find_prefix(word, part);
        if (row && has_end(row->ends, word + part, len - part))
            return row;
    }
    return NULL;
}

bool stats_spelling_is_sorted(void)
{
    for (size_t i = 1; i < ARRAY_LEN(rows); i++) {
        if (strcmp(rows[i - 1].british, rows[i].british) >= 0)
            return false;
    }
    return true;
}
