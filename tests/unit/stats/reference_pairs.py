"""What was said and what a recogniser could write of it, for reference.py: 104 by hand, made up for
this, and with what spoil() makes of the sentences of reference_texts.py more than 200."""
import random

import reference_texts

SAID = [
    # numbers, written and spoken
    ("We need twenty-five chairs by Tuesday.", "we need 25 chairs by Tuesday"),
    ("The train leaves at seven forty five.", "The train leaves at 7:45."),
    ("There were one thousand two hundred people.", "There were 1,200 people."),
    ("There were one thousand two hundred people.", "There were 1200 people there."),
    ("He was born in nineteen eighty four.", "He was born in 1984."),
    ("Call me on oh seven seven double nine.", "Call me on 07799."),
    ("It is two point five metres long.", "It is 2.5 meters long."),
    ("Take a half and then one and a half more.", "Take half and then 1.5 more."),
    ("Chapter twenty-one, page one hundred and three", "Chapter 21 page 103"),
    ("the twenty-first century and the 1990s", "the 21st century and the nineteen nineties"),
    ("He finished third, she finished twenty second.", "he finished 3rd she finished 22nd"),
    ("five hundred thousand or half a million", "500,000 or half a million"),
    ("minus forty is minus forty", "-40 is -40"),
    ("one two three four", "1 2 3 4"),
    ("one two three four", "1234"),
    ("room four oh four not found", "Room 404: not found."),
    ("It took three hours and twenty minutes", "It took 3 hours in 20 minutes."),
    ("seventy-six trombones, a hundred and ten cornets", "76 trombones 110 cornets"),
    ("nine nine nine, what is your emergency", "999 what is your emergency"),
    ("zero point zero five", "0.05"),
    ("between ten and fifteen thousand", "between 10 and 15,000"),
    ("three quarters of two thirds", "3/4 of 2/3"),
    ("a dozen eggs and two dozen rolls", "12 eggs and 24 rolls"),
    ("one million three hundred and fifty thousand four hundred and six", "1,350,406"),
    ("the first of the second of two thousand and three", "the 1st of the 2nd of 2003"),
    # currency and percent
    ("That will be twenty dollars and fifty cents.", "That will be $20.50."),
    ("It costs five pounds ninety nine.", "It costs \u00a35.99."),
    ("ten euros each, or a hundred for twelve", "\u20ac10 each or 100 for 12"),
    ("He won three million dollars.", "He won $3 million."),
    ("It lost ninety cents.", "It lost 90 cents"),
    ("It lost ninety cents.", "It lost $0.90"),
    ("Rates rose by a quarter of one percent.", "Rates rose by a quarter of 1%."),
    ("fifty percent of fifty per cent is twenty five percent", "50% of 50% is 25%"),
    ("two dollars, seven cents and a button", "$2, 7\u00a2 and a button"),
    ("a thousand yen or ten dollar bills", "1000 yen or $10 bills"),
    ("Price: $1,299.00 only!", "price one thousand two hundred ninety nine dollars only"),
    ("one hundred percent cotton", "100 percent cotton"),
    ("The fee is two and a half percent", "The fee is 2.5%"),
    ("sixty six pounds of flour for sixty six pounds", "66 lbs of flour for \u00a366"),
    ("one dollar is a dollar", "$1 is a dollar"),
    # contractions
    ("I can't, I won't and I shouldn't.", "I cannot, I will not and I should not."),
    ("They're late, we've waited, she'd left.", "They are late we have waited she had left"),
    ("It's what he's said, isn't it?", "it is what he has said is not it"),
    ("You'd've known if you'd asked.", "You would have known if you had asked"),
    ("Let's go, y'all, 'cause it's late.", "let us go you all because it is late"),
    ("I'm gonna, you're gotta, we wanna", "I am going to, you are got to, we want to"),
    ("Ain't nobody here but us chickens", "Is not nobody here but us chickens"),
    ("That'll do, that'd be it, there's more", "that will do that would be it there is more"),
    ("Who's there? What's that? Where's it?", "who is there what is that where is it"),
    ("Don't you dare, o'clock or not", "do not you dare o clock or not"),
    ("The dog's bone and the dogs' bones", "The dogs bone and the dog's bones"),
    ("I\u2019ll see, we\u2019ll see, don\u2019t we", "I will see, we will see, do not we"),
    ("might've, could've, should've", "might have could have should of"),
    ("Ma'am, it's ten o'clock.", "Madam it is 10 o'clock"),
    # fillers
    ("Um, I was, uh, thinking about it.", "I was thinking about it."),
    ("I was thinking about it.", "Hmm, I was, mm, thinking about it, mhm."),
    ("Mmm, that is good, ah, yes.", "that is good yes"),
    ("Uh huh, uh-huh, um um", "huh"),
    ("Er, well, erm, you know", "well you know"),
    ("hm, no, hmm, yes, mhm", "no yes"),
    # titles
    ("Mr. Smith met Mrs. Jones and Dr. Who.", "mister smith met missus jones and doctor who"),
    ("St. James's Street", "Saint James Street"),
    ("Prof. Brown, Capt. Kirk, Gov. Green", "professor brown captain kirk governor green"),
    ("Gen. Grant and Sen. Clay", "General Grant and Senator Clay"),
    ("Rev. Green vs. Lt. Black", "reverend green versus lieutenant black"),
    ("Ms. Moneypenny, Esq.", "miss Moneypenny esquire"),
    ("Pres. Lincoln and Hon. Members", "president lincoln and honorable members"),
    ("John Doe Jr. and Sr.", "john doe junior and senior"),
    ("Mr Smith, Dr Jones and Mrs Mills", "Mister Smith Doctor Jones Missus Mills"),
    ("Asst. Prof. Ng, Ph.D.", "assistant professor ng phd"),
    # British spelling
    ("The colour of the harbour at the theatre", "the color of the harbor at the theater"),
    ("We organise, analyse and apologise.", "we organize analyze and apologize"),
    ("a grey programme about tyres and aluminium", "a gray program about tires and aluminum"),
    ("He travelled, cancelled, and modelled.", "he traveled canceled and modeled"),
    ("the defence of the licence to practise", "the defense of the license to practice"),
    ("My favourite neighbour's behaviour", "my favorite neighbors behavior"),
    ("a catalogue of cheques, pyjamas and kerbs", "a catalog of checks pajamas and curbs"),
    ("an encyclopaedia of anaesthesia", "an encyclopedia of anesthesia"),
    ("jewellery, jewelry; storey, story", "jewelry jewelry story story"),
    ("The centre metre by litre by fibre", "the center meter by liter by fiber"),
    ("honour, humour, labour, rumour, vapour", "honor humor labor rumor vapor"),
    ("mould on the plough, a sceptical moustache", "mold on the plow a skeptical mustache"),
    # brackets and noise
    ("[laughter] so I said no (applause) and left", "so I said no and left"),
    ("so I said no and left", "[inaudible] so I said no <unk> and left"),
    ("(clears throat) Good evening.", "Good evening"),
    ("[Music]", ""),
    ("", "[BLANK_AUDIO]"),
    ("yes [no (maybe] yes)", "yes yes"),
    ("He said (quote) hello", "he said hello"),
    ("a < b and c > d", "a b and c d"),
    ("{curly} and [square] and (round)", "curly and"),
    # punctuation, case, symbols, other scripts
    ("Well-known, state-of-the-art; e-mail.", "well known state of the art email"),
    ("HELLO WORLD!!!", "hello, world"),
    ("Send it to bob@example.com, please", "send it to bob at example dot com please"),
    ("AT&T and R&D & co.", "at and t and r and d and co"),
    ("C++ or C# or #1", "C plus plus or C sharp or number one"),
    ("the caf\u00e9 na\u00efve fa\u00e7ade", "the cafe naive facade"),
    ("\u00dcber stra\u00dfe", "uber strasse"),
    ("50\u00b0 north, 3\u2032 long", "50 degrees north 3 feet long"),
    ("ellipsis\u2026 dash\u2014dash \u201cquotes\u201d", "ellipsis dash dash quotes"),
    ("\u4f60\u597d world", "\u4f60 \u597d world"),
    ("and/or, he/she, 24/7", "and or he she 24 7"),
    ("one\u00a0two\tthree\nfour", "1 2 3 4"),
]

INSTEAD = ["a", "the", "ten", "colour", "it's", "and", "5", "uh", "twenty", "Mr."]


def spoil(sentence, draw):
    """One word in eight lost, one in eight another, one in twelve more; case and commas at will."""
    out = []
    for word in sentence.split():
        dice = draw.random()
        if dice < 0.12:
            continue
        out.append(draw.choice(INSTEAD) if dice < 0.24 else word)
        if dice > 0.92:
            out.append(draw.choice(INSTEAD))
    text = " ".join(out)
    style = draw.randrange(4)
    return [text, text.upper(), text.lower() + ".", text.replace(",", "")][style]


def pairs():
    draw = random.Random(200)
    return SAID + [(s, spoil(s, draw)) for s in reference_texts.SENTENCES if s.strip()]
