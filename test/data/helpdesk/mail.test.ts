// Mails and mailboxes: what is said in them, and who said it.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { cleanMail } from '../../../lib/data/helpdesk/clean.js'
import { htmlToText } from '../../../lib/data/helpdesk/html.js'
import { parseMail } from '../../../lib/data/helpdesk/mail.js'
import { processorSeconds } from '../../processor.js'
import { collectText } from '../formats/collect.js'

const BEST = `Best\nof all is a long line ${'that goes on and on '.repeat(4)}to no end.`

const cleaned: [name: string, mail: string, said: string][] = [
  [
    'a quote',
    'Yes.\n\nOn Tue, Nov 3, 2026 at 9:12 AM Ana <a@x.example> wrote:\n> Is it?\n> Really',
    'Yes.',
  ],
  [
    'a quote over two lines',
    'Yes.\n\nOn Tue, Nov 3, 2026 at 9:12 AM Ana\n<a@x.example> wrote:\n\n> Is it?',
    'Yes.',
  ],
  [
    'a quote without marks',
    'Ja.\n\nAm 03.11.2026 um 09:12 schrieb Ana:\n\nIst es da?\nWirklich',
    'Ja.',
  ],
  ['answers between quotes', 'On 3 Nov 2026, Ana wrote:\n> Open?\nYes.\n> Late?\nNo.', 'Yes.\nNo.'],
  ['a French quote', 'Oui.\n\nLe 3 nov. 2026 à 09:12, Ana a écrit :\n> Ouvert ?', 'Oui.'],
  ['Outlook', 'Yes.\n\nFrom: Ana\nSent: Monday\nTo: Shop\nSubject: Open?\n\nIs it?', 'Yes.'],
  ['Original Message', 'Yes.\n-----Original Message-----\nIs it?', 'Yes.'],
  ['the line of a helpdesk', 'Yes.\n##- Please type your reply above this line -##\nOld', 'Yes.'],
  ['a signature', 'It leaks.\n\n-- \nAna Ruiz\n+34 555 0100', 'It leaks.'],
  ['a sign-off', 'It leaks.\n\nBest regards,\nAna Ruiz\nHead of Tea\nwww.x.example', 'It leaks.'],
  ['a German one', 'Er tropft.\n\nMit freundlichen Grüßen\nAna', 'Er tropft.'],
  ['a phone', 'It leaks.\n\nSent from my iPhone', 'It leaks.'],
  [
    'a notice',
    'It leaks.\n\nThis e-mail is confidential and\nintended only for you.\n\nPlease help.',
    'It leaks.\n\nPlease help.',
  ],
  ['thanks and a name', 'It leaks.\n\nThanks,\nAna', 'It leaks.'],
  ['nothing but thanks', 'Thanks,\nAna', 'Thanks,\nAna'],
  [
    'a sentence that looks like a quote',
    'On Monday she wrote:\nplease call.',
    'On Monday she wrote:\nplease call.',
  ],
  ['"best" in the middle', BEST, BEST],
  ['a plain text', 'One\n\n\n\ntwo  \r\nthree', 'One\n\ntwo\nthree'],
]
for (const [name, mail, said] of cleaned) {
  test(`what is said beside ${name}`, () => assert.is(cleanMail(mail), said))
}

test('HTML', () => {
  const html = `<html><head><title>no</title><style>p{}</style></head><body>
    <p>Dear Ana,<br>it&nbsp;costs 5&nbsp;&euro; &amp; more&#33;</p>
    <ul><li>one<li>two</ul><!-- no --><script>no()</script><div>3 < 4</div>
    <div class="gmail_quote"><div>old</div> old</div>
    <blockquote>old <blockquote>older</blockquote> old</blockquote>end</body>`
  assert.is(htmlToText(html), 'Dear Ana,\nit costs 5 € & more!\n\n- one\n- two\n\n3 < 4\nend')
  assert.is(htmlToText('<p unclosed'), '')
  assert.is(
    htmlToText('&#xD800; &#0; &bogus; &constructor;'),
    '\ufffd \ufffd &bogus; &constructor;',
  )
})

test('patterns take linear time', async () => {
  const seconds = await processorSeconds(() => {
    for (const unit of [
      'On 1 ',
      '> ',
      '-- \n',
      '<',
      '<a ',
      '&',
      '&#',
      'From: a\n',
      '(',
      '=?',
      '--',
      '\n',
      ' \n',
      'a@',
      'regards,\n',
      'confidential ',
    ]) {
      const text = unit.repeat(400_000 / unit.length)
      cleanMail(text)
      cleanMail(`Yes\n${text}`)
      htmlToText(text)
      parseMail(
        Buffer.from(
          `From: ${text}\nSubject: ${text}\nReferences: ${text}\nDate: ${text}\n\n${text}`,
        ),
      )
    }
  })
  assert.ok(seconds < 8, `${seconds} s`)
})

const encoded: [name: string, mail: string, text: string][] = [
  ['plain', 'From: a@x.example\n\nHi\n', 'Hi\n'],
  [
    'quoted-printable',
    'Content-Type: text/plain; charset="iso-8859-1"\nContent-Transfer-Encoding: quoted-printable\n\n' +
      'Caf=E9 =\nau lait =3D=ZZ',
    'Café au lait ==ZZ',
  ],
  [
    'base64',
    `Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n\n` +
      `${Buffer.from('Grüße\n').toString('base64')}`,
    'Grüße\n',
  ],
  ['HTML alone', 'Content-Type: text/html\n\n<p>Hi<br>you</p>', 'Hi\nyou'],
  [
    'alternatives',
    'Content-Type: multipart/alternative; boundary="b"\n\n' +
      'preamble\n--b\nContent-Type: text/html\n\n<p>no</p>\n--b\n\nyes\n--b--\nepilogue',
    'yes',
  ],
  [
    'an attachment',
    'Content-Type: multipart/mixed; boundary=b\n\n--b\n' +
      'Content-Type: multipart/alternative; boundary=c\n\n--c\n' +
      '\nyes\n--c--\n--b\nContent-Type: text/plain\nContent-Disposition: attachment; filename=x\n\nno\n--b--',
    'yes',
  ],
  ['a charset nobody knows', 'Content-Type: text/plain; charset=klingon\n\nHi', 'Hi'],
]
for (const [name, mail, text] of encoded) {
  test(`a mail: ${name}`, () => {
    assert.is(parseMail(Buffer.from(mail)).text, text)
    assert.is(parseMail(Buffer.from(mail.replaceAll('\n', '\r\n'))).text, text)
  })
}

test('headers: folded, encoded, several ids', () => {
  const mail = parseMail(
    Buffer.from(
      'From: =?UTF-8?B?QW5hIFLDumk=?=\n =?utf-8?q?z?= <Ana@X.example>\nSubject: a\n b\nMessage-ID: <1@x>\n' +
        'References: <2@x>\n <3@x>\nIn-Reply-To: <3@x>\nDate: Mon, 3 Nov 2025 09:12:00 +0100 (CET)\n\n.',
    ),
  )
  assert.equal(
    [mail.name, mail.from, mail.subject, mail.id, mail.references, mail.time],
    [
      'Ana Rúiz',
      'ana@x.example',
      'a b',
      '<1@x>',
      ['<3@x>', '<3@x>', '<2@x>'],
      Date.UTC(2025, 10, 3, 8, 12),
    ],
  )
})

function mbox(...mails: { from: string; headers?: string; text: string }[]): string {
  return mails
    .map(
      ({ from, headers = '', text }) =>
        `From ${from} Mon Nov  3 09:12:00 2025\nFrom: ${from}\n${headers}\n${text}\n\n`,
    )
    .join('')
}

test('threads of a mailbox: by ids, by subject, in the order of their dates', async () => {
  const date = (minute: number) => `Date: Mon, 3 Nov 2025 09:${minute}:00 +0000\n`
  const file = mbox(
    {
      from: 'shop@s.example',
      headers: `Message-ID: <2@s>\nIn-Reply-To: <1@x>\n${date(20)}`,
      text: 'Send it back.',
    },
    {
      from: 'ben@y.example',
      headers: `Subject: Open?\n${date(10)}`,
      text: 'Are you open?\n>From Monday on?',
    },
    { from: 'ana@x.example', headers: `Message-ID: <1@x>\n${date(11)}`, text: 'It leaks.' },
    {
      from: 'shop@s.example',
      headers: `Subject: Re: AW: open?\n${date(30)}`,
      text: 'Yes.\n\n> Are you open?',
    },
    {
      from: 'ana@x.example',
      headers: 'Auto-Submitted: auto-replied\nIn-Reply-To: <2@s>\n',
      text: 'I am away.',
    },
    { from: 'cy@z.example', text: 'Nobody answers.' },
  )
  const rows = await collectText(file, { format: 'mbox' })
  const chats = rows.map((row) => ('example' in row ? row.example : row.problem.code))
  assert.equal(chats, [
    {
      kind: 'chat',
      messages: [
        { role: 'user', content: 'It leaks.' },
        { role: 'assistant', content: 'Send it back.' },
      ],
      group: 'ana@x.example',
      time: Date.UTC(2025, 10, 3, 9, 11),
    },
    {
      kind: 'chat',
      messages: [
        { role: 'user', content: 'Are you open?\nFrom Monday on?' },
        { role: 'assistant', content: 'Yes.' },
      ],
      group: 'ben@y.example',
      time: Date.UTC(2025, 10, 3, 9, 10),
    },
    'no-assistant',
  ])
})

test('mails without an empty line between them; lines of text that begin with From', async () => {
  const ana = mbox({ from: 'ana@x.example', headers: 'Message-ID: <1@x>\n', text: 'From 2019 on?' })
  const shop = mbox({ from: 's@s.example', headers: 'In-Reply-To: <1@x>\n', text: 'Yes.' })
  const [row] = await collectText(ana.trimEnd() + '\n' + shop, { format: 'mbox' })
  assert.ok(row && 'example' in row && row.example.kind === 'chat')
  if (!('example' in row!) || row.example.kind !== 'chat') return
  assert.equal(
    row.example.messages.map(({ content }) => content),
    ['From 2019 on?', 'Yes.'],
  )
})

test('agents are who the user says', async () => {
  const file = mbox(
    { from: 'shop@s.example', headers: 'Message-ID: <1@s>\n', text: 'Your order is late.' },
    { from: 'ana@x.example', headers: 'In-Reply-To: <1@s>\n', text: 'How late?' },
    { from: 'shop@s.example', headers: 'In-Reply-To: <1@s>\n', text: 'A day.' },
  )
  for (const agents of [['@s.example'], ['SHOP@s.example']]) {
    const [row] = await collectText(file, { format: 'mbox', agents })
    assert.ok(row && 'example' in row && row.example.kind === 'chat')
    if (!('example' in row!) || row.example.kind !== 'chat') return
    assert.equal(
      row.example.messages.map(({ role }) => role),
      ['assistant', 'user', 'assistant'],
    )
    assert.is(row.example.group, 'ana@x.example')
  }
})

test.run()
