/** Tasks that work with the six math tools: the practice model solves them, a real one does too. */
export const EXAMPLES = [
  'What is (17 + 5) * 3 / 4?',
  'Solve x^2 - 5x + 6 = 0',
  'Anna has 12 apples and buys 5 more. How many does she have?',
  'What is 15% of my salary?',
];
