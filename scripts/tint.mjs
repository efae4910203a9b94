// Gives every kernel's text to Tint, the WGSL compiler of Chromium, which is stricter than naga: it checks uniformity and
// derives types otherwise. Dawn's null backend compiles without a GPU and without a browser.
//
//   npm install --prefix target/tint webgpu
//   node scripts/tint.mjs target/release/wgslab target/tint
//
// The texts are those that `wgslab kernels show` prints for every entry and variant. Exit code 1 if one was refused, or if
// nothing was checked.

import { execFileSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const [program, folder] = process.argv.slice(2);
if (!program || !folder) {
    console.error('usage: node scripts/tint.mjs PROGRAM FOLDER, where FOLDER has node_modules/webgpu');
    process.exit(2);
}

const wgslab = (...words) => execFileSync(resolve(program), words, { encoding: 'utf8', maxBuffer: 1 << 26 });

// The texts of `kernels show`: each begins with a comment that names kernel and variant.
function* texts(entry, variant) {
    const shown = wgslab('kernels', 'show', entry, '--variant', variant);
    for (const text of shown.split(/^(?=\/\/ \S+ \[\S+\] in the case )/m)) {
        if (text.trim()) {
            yield { name: text.slice(3, text.indexOf(' in the case')), text };
        }
    }
}

// What WebGPU wants to be told first. naga knows subgroups without it.
function complete(text) {
    return /\bsubgroup[A-Z_]/.test(text) ? `enable subgroups;\n${text}` : text;
}

// naga's own languages, which no browser has.
const EXTENSIONS = /^\s*enable wgpu_\w+;/m;

const { create, globals } = await import(pathToFileURL(createRequire(resolve(folder, 'here.js')).resolve('webgpu')));
Object.assign(globalThis, globals);
// Held by a name to the end: what it gives lives no longer than it.
const gpu = (globalThis.gpu = create(['backend=null']));
const adapter = await gpu.requestAdapter();
const requiredFeatures = ['shader-f16', 'subgroups'].filter((f) => adapter.features.has(f));
// It has the default limits of WebGPU. What the adapter here has beyond them may be in a kernel's text.
const device = await adapter.requestDevice({ requiredFeatures });

// What Tint says of a text as a module; else what Dawn says of it as a pipeline; nothing where they take it without a word.
async function judged(code) {
    device.pushErrorScope('validation'); // without it Dawn prints what the messages hold already
    const module = device.createShaderModule({ code });
    const { messages } = await module.getCompilationInfo();
    if (messages.length === 0) {
        device.createComputePipeline({ layout: 'auto', compute: { module, entryPoint: 'main' } });
    }
    const error = await device.popErrorScope();
    const said = messages.map((m) => `${m.type} at ${m.lineNum}:${m.linePos}: ${m.message}`);
    return said.length === 0 && error ? [error.message.trim().split('\n')[0]] : said;
}

// What Dawn says where a text needs more than the default limits.
const LIMITS = /larger than the maximum allowed|exceeds the maximum/;

const seen = new Set();
const own = new Set();
const large = new Set();
let refused = 0;
for (const { name: entry, variants } of JSON.parse(wgslab('kernels', 'list', '--json')).entries) {
    for (const { name: variant } of variants) {
        for (const { name, text } of texts(entry, variant)) {
            const code = complete(text.replace(/^\/\/.*\n/gm, ''));
            if (seen.has(code)) {
                continue;
            }
            seen.add(code);
            if (EXTENSIONS.test(text)) {
                own.add(name);
                continue;
            }
            const said = await judged(complete(text));
            if (said.length === 1 && LIMITS.test(said[0])) {
                large.add(name);
            } else if (said.length > 0) {
                refused += 1;
                console.log(`${name}\n${said.map((line) => `    ${line}`).join('\n')}`);
            }
        }
    }
}
if (own.size > 0) {
    console.log(`not for a browser, since naga alone knows cooperative matrices: ${[...own].join(', ')}`);
}
if (large.size > 0) {
    console.log(`taken by Tint, but for more than WebGPU's default limits: ${[...large].join(', ')}`);
}
const passed = seen.size - own.size - refused;
console.log(`Tint took ${passed} of ${seen.size - own.size} texts without a word; ${refused} were refused or warned of`);
process.exit(passed > 0 && refused === 0 ? 0 : 1);
