/** Tasks that work with the six math tools: the practice model solves them, a real one does too. */
export const EXAMPLES = [
  'What is (17 + 5) * 3 / 4?',
  'Solve x^2 - 5x + 6 = 0',
  'A box holds 12 eggs. How many eggs are in 7 boxes?',
  'What is 15 percent of a number? Ask me for it.',
];
