/* Prompts for whoever brings none: short and long ones, questions and texts to work on, as people
 * send them. Each asks for an answer of limited length, or a run would measure how talkative a
 * model is. They say nothing about answers of much longer prompts: bring your own for those. */
#include "bench/setup.h"

enum { ANSWER = 128 };

const struct corpus_prompt bench_prompts[] = {
    {.prompt = "What is the capital of Australia, and why is it not Sydney?", .max_tokens = ANSWER},
    {.prompt = "Turn the lights in the kitchen off in ten minutes.", .max_tokens = ANSWER},
    {.prompt = "Explain in three sentences how a heat pump works.", .max_tokens = ANSWER},
    {.prompt = "Write a polite message that cancels a dentist's appointment on Monday at nine.",
     .max_tokens = ANSWER},
    {.prompt = "A train leaves at 9:40 and needs 2 hours and 35 minutes. It was 20 minutes late at "
               "the start and made up 8 minutes on its way. When does it arrive? Show the steps.",
     .max_tokens = ANSWER},
    {.prompt = "Translate into German, French and Spanish: \"The meeting has been moved to the "
               "small room on the second floor.\"",
     .max_tokens = ANSWER},
    {.prompt = "Summarise in one sentence: The harbour of the old town was built for ships that "
               "carried salt. When the railway came, salt went by rail, and the warehouses stood "
               "empty for sixty years. In 1987 a theatre moved into the largest of them. Others "
               "followed: a market, two schools of music, a boat builder. Today the rents are "
               "higher than in the new town, and the theatre is looking for another place.",
     .max_tokens = ANSWER},
    {.prompt = "Which of these is not a fruit, and why: tomato, carrot, cucumber, pumpkin?",
     .max_tokens = ANSWER},
    {.prompt = "Write a function in Python that returns the second largest number of a list, or "
               "None when there is none. No comments.",
     .max_tokens = ANSWER},
    {.prompt = "Extract as JSON with the keys name, date and amount: \"On 4 March Ms Lindgren paid "
               "the invoice over 1,250.00 euro, two weeks after the second reminder.\"",
     .max_tokens = ANSWER},
    {.prompt = "You are helping with a fault in a heating system. The boiler shows error F28, the "
               "pressure is 0.6 bar, the gas valve is open, other gas devices in the house work, "
               "and the error came after the water had been drained to change a radiator. It was "
               "refilled through the tap in the cellar, but nobody bled the radiators. What "
               "should be checked first, what next, and when is it time to call somebody? Answer "
               "with a numbered list of at most six short points.",
     .max_tokens = ANSWER},
    {.prompt = "Give me five names for a small bakery near a station.", .max_tokens = ANSWER},
};
const size_t bench_prompt_count = ARRAY_LEN(bench_prompts);
