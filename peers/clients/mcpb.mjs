// The packer of bundles that comes with their format: `mcpb DIRECTORY FILE.mcpb` packs a directory that holds a
// manifest.json, signs the bundle with a certificate of the moment, and prints one JSON document.
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { load } from './peer.mjs';

const { extractSignatureBlock, packExtension, signMcpbFile } = load('@anthropic-ai/mcpb/cli');
// What the packer itself signs with.
const { md, pki } = load('node-forge');

/** A certificate and its key, both as PEM. */
function certificate() {
  const keys = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    privateKeyEncoding: { type: 'pkcs1', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  });
  const made = pki.createCertificate();
  made.publicKey = pki.publicKeyFromPem(keys.publicKey);
  made.validity.notAfter = new Date(Date.now() + 86_400_000);
  made.setSubject([{ name: 'commonName', value: 'Example' }]);
  made.setIssuer([{ name: 'commonName', value: 'Example' }]);
  made.sign(pki.privateKeyFromPem(keys.privateKey), md.sha256.create());
  return [pki.certificateToPem(made), keys.privateKey];
}

const [directory, file] = process.argv.slice(2);
// It talks of the manifest even where it is told to be silent.
console.log = () => {};
const packed = await packExtension({ extensionPath: directory, outputPath: file, silent: true });
const keys = mkdtempSync(join(tmpdir(), 'mcpb-'));
const paths = [join(keys, 'certificate.pem'), join(keys, 'key.pem')];
certificate().forEach((text, at) => writeFileSync(paths[at], text));
signMcpbFile(file, ...paths);
rmSync(keys, { recursive: true });
const signed = extractSignatureBlock(readFileSync(file)).pkcs7Signature !== undefined;
process.stdout.write(`${JSON.stringify({ packed, signed })}\n`);
