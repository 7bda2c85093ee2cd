// The work of the function `email` as one would write it for Node.js: AWS's SDK and nodemailer, ten e-mails at a time, a
// conditional write before and after each. It skips what a push without trouble does not need.
import { createHash, createHmac, randomUUID } from 'node:crypto';
import http from 'node:http';
import net from 'node:net';
import {
  BatchGetItemCommand, ConditionalCheckFailedException, DynamoDBClient, GetItemCommand, UpdateItemCommand,
} from '@aws-sdk/client-dynamodb';
import nodemailer from 'nodemailer';

const env = process.env;
const CONCURRENCY = 10;
const RATE = Number(env.EMAIL_RATE_PER_SECOND);
const INTERVAL_US = Math.floor(1e6 / RATE);

const dynamo = new DynamoDBClient({});
const smtp = new URL(env.SMTP_URL);
const mail = nodemailer.createTransport({
  pool: true, host: smtp.hostname, port: Number(smtp.port), maxConnections: CONCURRENCY, maxMessages: Infinity,
  ignoreTLS: true,
  // Without it each message waits for a delayed acknowledgement.
  getSocket: (options, done) => {
    const connection = net.connect(options.port, options.host, () => done(null, { connection }));
    connection.setNoDelay(true).once('error', done);
  },
});

const sha256 = (text) => createHash('sha256').update(text).digest();
const keyed = (key, text) => createHmac('sha256', key).update(text).digest();
const number = (value) => ({ N: String(value) });
const text = (value) => ({ S: value });
const escaped = (value) => value.replace(/[&<>"]/g, (char) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[char]);

const isRefused = (error) => error instanceof ConditionalCheckFailedException;

async function get(table, key) {
  const { Item } = await dynamo.send(new GetItemCommand({ TableName: table, Key: key, ConsistentRead: true }));
  return Item;
}

async function getMany(table, keys) {
  const request = { [table]: { Keys: keys, ConsistentRead: true } };
  const { Responses } = await dynamo.send(new BatchGetItemCommand({ RequestItems: request }));
  return Responses[table];
}

const deliveryKey = (offer, customer) => ({
  pk: text(`${offer}#${(sha256(customer)[0] % 16).toString(16)}`), sk: text(`${customer}#email`),
});

/** The text with the customer's values. */
function filled(template, customer) {
  return template.replace(/\{\{\s*customer\.(\w+)\s*\}\}/g, (_, name) => {
    const value = name === 'name' ? customer.name : customer.attributes.M[name];
    return Object.values(value)[0];
  });
}

/** The time of the first of these sends, in microseconds since 1970. */
async function reserve(count) {
  const length = INTERVAL_US * count;
  for (;;) {
    const now = Date.now() * 1000;
    const update = { TableName: env.PACING_TABLE, Key: { pk: text('smtp') } };
    try {
      const { Attributes } = await dynamo.send(new UpdateItemCommand({
        ...update, ReturnValues: 'UPDATED_NEW', UpdateExpression: 'SET nextSend = nextSend + :length',
        ConditionExpression: 'nextSend BETWEEN :now AND :latest',
        ExpressionAttributeValues: { ':length': number(length), ':now': number(now), ':latest': number(now + 1e6) },
      }));
      return Number(Attributes.nextSend.N) - length;
    } catch (error) {
      if (!isRefused(error)) throw error;
    }
    try {
      await dynamo.send(new UpdateItemCommand({
        ...update, UpdateExpression: 'SET nextSend = :next',
        ConditionExpression: 'attribute_not_exists(nextSend) OR nextSend < :now',
        ExpressionAttributeValues: { ':next': number(now + length), ':now': number(now) },
      }));
      return now;
    } catch (error) {
      if (!isRefused(error)) throw error;
    }
  }
}

function composed(offer, customer, addressHash) {
  const signed = `k1.${Buffer.concat([addressHash, Buffer.from(customer.pk.S)]).toString('base64url')}`;
  const signature = keyed(env.LINK_KEY, signed).subarray(0, 16).toString('base64url');
  const link = `https://offers.bank.example/unsubscribe/${signed}.${signature}`;
  const subject = filled(offer.subject.S, customer);
  const body = filled(offer.description.S, customer);
  const paragraphs = body.split(/\n\n+/).map((part) => `<p style="margin:12px 0">${escaped(part)}</p>`).join('\n');
  const cell = 'font-family:Helvetica,Arial,sans-serif;color:#14202e;padding:8px 28px';
  const html = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escaped(subject)}</title></head>
<body style="margin:0;padding:24px 12px;background:#f3f5f8">
<table role="presentation" align="center" width="100%" cellpadding="0" cellspacing="0" style="max-width:560px;background:#fff">
<tr><td style="${cell};font-size:14px">${escaped(env.BRAND_NAME)}</td></tr>
<tr><td style="${cell};font-size:22px;font-weight:bold">${escaped(subject)}</td></tr>
<tr><td style="${cell};font-size:16px;line-height:1.55">
${paragraphs}
</td></tr>
<tr><td style="${cell};font-size:12px;border-top:1px solid #e3e7ec">${escaped(env.BRAND_NAME)}<br>${escaped(env.POSTAL_ADDRESS)}<br>
<a href="${link}">No more offers by e-mail</a></td></tr>
</table></body></html>`;
  return {
    from: env.FROM_ADDRESS, replyTo: env.REPLY_TO_ADDRESS, to: { name: customer.name.S, address: customer.email.S },
    subject, html, text: `${body}\n\n-- \n${env.BRAND_NAME}\n${env.POSTAL_ADDRESS}\n\nNo more offers by e-mail: ${link}\n`,
    messageId: `<${sha256(`${offer.pk.S}#${customer.pk.S}`).toString('hex').slice(0, 32)}@bank.example>`,
    headers: { 'List-Unsubscribe': `<${link}>`, 'List-Unsubscribe-Post': 'List-Unsubscribe=One-Click' },
    textEncoding: 'quoted-printable',
  };
}

/** Claims, sends and records one e-mail. Returns whether it was sent. */
async function notify(batch, offer, customer, addressHash, deadline) {
  const message = composed(offer, customer, addressHash);
  const token = randomUUID();
  const delivery = { TableName: env.DELIVERIES_TABLE, Key: deliveryKey(batch.push.offer, customer.pk.S) };
  const names = { ExpressionAttributeNames: { '#state': 'state' } };
  try {
    await dynamo.send(new UpdateItemCommand({
      ...delivery, ...names,
      UpdateExpression: 'SET #state = :claimed, push = :push, updatedAt = :now, expiresAt = :expires, leaseUntil = :until, '
        + 'leaseToken = :token, transport = :transport REMOVE reason ADD attempts :one',
      ConditionExpression: 'attribute_not_exists(pk) OR #state = :retry OR (#state = :claimed AND leaseUntil < :now)',
      ExpressionAttributeValues: {
        ':claimed': text('claimed'), ':retry': text('retry'), ':push': number(batch.push.number), ':now': number(Date.now()),
        ':expires': number(4_105_036_799), ':until': number(deadline + 5_000), ':token': text(token), ':transport': text('smtp'),
        ':one': number(1),
      },
    }));
  } catch (error) {
    if (isRefused(error)) return false;
    throw error;
  }
  await mail.sendMail(message);
  await dynamo.send(new UpdateItemCommand({
    ...delivery, ...names,
    UpdateExpression: 'SET #state = :sent, updatedAt = :now, providerMessageId = :message, addressHash = :hash '
      + 'REMOVE leaseUntil, leaseToken',
    ConditionExpression: 'leaseToken = :token',
    ExpressionAttributeValues: {
      ':sent': text('sent'), ':now': number(Date.now()), ':message': text(message.messageId), ':token': text(token),
      ':hash': text(addressHash.toString('hex')),
    },
  }));
  return true;
}

async function deliver(batch, deadline) {
  const push = `${batch.push.offer}#${String(batch.push.number).padStart(4, '0')}`;
  const [pushed, offer] = await Promise.all([
    get(env.PUSHES_TABLE, { pk: text(push), sk: text('push') }),
    get(env.OFFERS_TABLE, { pk: text(batch.push.offer), sk: text('offer') }),
    get(env.PACING_TABLE, { pk: text('smtp') }),
  ]);
  if (pushed.state.S === 'cancelled') return;
  const served = await getMany(env.DELIVERIES_TABLE, batch.customers.map((id) => deliveryKey(batch.push.offer, id)));
  const done = new Set(served.map((item) => item.sk.S));
  const found = await getMany(env.CUSTOMERS_TABLE, batch.customers.map((id) => ({ pk: text(id) })));
  const recipients = found
    .filter((customer) => customer.channels.L.some((channel) => channel.S === 'email') && !done.has(`${customer.pk.S}#email`))
    .map((customer) => ({ customer, hash: keyed(env.HASH_KEY, `email:${customer.email.S.toLowerCase()}`) }));
  const suppressed = await getMany(env.SUPPRESSIONS_TABLE, recipients.flatMap(({ customer, hash }) => [
    { pk: text(`email#${hash.toString('hex')}`) }, { pk: text(`customer#${customer.pk.S}`) },
  ]));
  const refused = new Set(suppressed.map((item) => item.pk.S));
  const queue = recipients.filter(({ hash }) => !refused.has(`email#${hash.toString('hex')}`));
  const first = await reserve(queue.length);
  let [sent, next] = [0, 0];
  const worker = async () => {
    while (next < queue.length) {
      const index = next++;
      const wait = (first + index * INTERVAL_US) / 1000 - Date.now();
      if (wait > 1) await new Promise((done) => setTimeout(done, wait));
      const { customer, hash } = queue[index];
      const isSent = await notify(batch, offer, customer, hash, deadline);
      sent += isSent;
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, worker));
  await dynamo.send(new UpdateItemCommand({
    TableName: env.PUSHES_TABLE, Key: { pk: text(push), sk: text(`slice#${String(batch.slice).padStart(4, '0')}`) },
    UpdateExpression: 'DELETE batchesOpen :batches ADD sent :count SET heartbeat = :now',
    ConditionExpression: 'generation = :generation AND contains(batchesOpen, :batch)',
    ExpressionAttributeValues: {
      ':batches': { NS: [String(batch.batch)] }, ':batch': number(batch.batch), ':count': number(sent),
      ':generation': number(batch.generation), ':now': number(Date.now()),
    },
  }));
  console.log(JSON.stringify({ level: 'INFO', message: 'batch delivered', sent }));
}

const [host, port] = env.AWS_LAMBDA_RUNTIME_API.split(':');
const agent = new http.Agent({ keepAlive: true });

function call(method, path, body) {
  return new Promise((done, failed) => {
    const request = http.request({ host, port, method, agent, path: `/2018-06-01/runtime/${path}` }, (response) => {
      const parts = [];
      response.on('data', (part) => parts.push(part));
      response.on('end', () => done({ headers: response.headers, body: Buffer.concat(parts).toString() }));
    });
    request.on('error', failed).end(body);
  });
}

async function main() {
  for (;;) {
    const { headers, body } = await call('GET', 'invocation/next');
    const id = headers['lambda-runtime-aws-request-id'];
    try {
      for (const record of JSON.parse(body).Records) {
        await deliver(JSON.parse(record.body), Number(headers['lambda-runtime-deadline-ms']));
      }
      await call('POST', `invocation/${id}/response`, '{"batchItemFailures": []}');
    } catch (error) {
      await call('POST', `invocation/${id}/error`, JSON.stringify({ errorMessage: String(error.stack) }));
    }
  }
}

main();
