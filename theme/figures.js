'use strict';

// Stepping through the packets of a figure, with every field of each. The figure says the same without it.

(() => {
  const make = (tag, properties = {}, ...children) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  };

  // The packets that the host of a capture has sent: blocks of pcapng, https://www.ietf.org/archive/id/draft-ietf-opsawg-pcapng-03.html
  const sentIn = (buffer, host) => {
    const view = new DataView(buffer);
    const packets = [];
    for (let at = 0; at + 12 <= view.byteLength;) {
      const length = view.getUint32(at + 4, true);
      if (length < 12) break;
      if (view.getUint32(at, true) === 6) {
        const micros = view.getUint32(at + 12, true) * 2 ** 32 + view.getUint32(at + 16, true);
        const size = view.getUint32(at + 20, true);
        const bytes = new Uint8Array(buffer, at + 28, size);
        let fate = '';
        let isSent = false;
        for (let option = at + 28 + Math.ceil(size / 4) * 4; option < at + length - 4;) {
          const code = view.getUint16(option, true);
          const count = view.getUint16(option + 2, true);
          if (code === 1) fate = new TextDecoder().decode(new Uint8Array(buffer, option + 4, count));
          if (code === 2) isSent = (view.getUint32(option + 4, true) & 3) === 2;
          option += 4 + Math.ceil(count / 4) * 4;
        }
        if (isSent) packets.push({ micros, bytes, host, fate });
      }
      at += length;
    }
    return packets;
  };

  // A packet's headers: name, and rows of bytes, field and meaning.
  const parts = bytes => {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const found = [];
    let at = 0;
    let rows = [];
    const begin = name => found.push([name, rows = []]);
    const field = (length, name, meaning) => {
      let number = 0;
      for (let i = 0; i < Math.min(length, 6); i++) number = number * 256 + bytes[at + i];
      const hex = [...bytes.subarray(at, at + length)].map(byte => byte.toString(16).padStart(2, '0')).join(' ');
      rows.push([hex, name, meaning(number)]);
      at += length;
    };
    const plain = unit => number => `${number}${unit}`;
    const names = { 1: 'ICMP', 6: 'TCP', 17: 'UDP', 58: 'ICMPv6' };
    const protocolName = number => `${number}: ${names[number] ?? 'another'}`;
    let protocol;
    // Of a packet in fragments only the first has the header of what it carries.
    let isLater = false;
    if (bytes[0] >> 4 === 4) {
      begin('IPv4 header');
      const end = (bytes[0] & 15) * 4;
      protocol = bytes[9];
      isLater = (view.getUint16(6) & 0x1fff) > 0;
      field(1, 'version, header length', byte => `${byte >> 4}, ${byte & 15} words of 4 bytes`);
      field(1, 'type of service', plain(''));
      field(2, 'total length', plain(' bytes'));
      field(2, 'identification', plain(''));
      field(2, 'flags, fragment offset', bits => `${['none', 'more fragments', "don't fragment"][bits >> 13] ?? 'unusual'}, ${(bits & 0x1fff) * 8}`);
      field(1, 'time to live', plain(' hops'));
      field(1, 'protocol', protocolName);
      field(2, 'header checksum', plain(''));
      for (const name of ['source address', 'destination address']) {
        const address = bytes.subarray(at, at + 4).join('.');
        field(4, name, () => address);
      }
      if (at < end) field(end - at, 'options', () => '');
    } else {
      begin('IPv6 header');
      protocol = bytes[6];
      field(4, 'version, traffic class, flow label', bits => `6, ${bits / 2 ** 20 & 255}, ${bits % 2 ** 20}`);
      field(2, 'payload length', plain(' bytes'));
      field(1, 'next header', protocolName);
      field(1, 'hop limit', plain(' hops'));
      for (const name of ['source address', 'destination address']) {
        const groups = Array.from({ length: 8 }, (_, i) => view.getUint16(at + 2 * i).toString(16)).join(':');
        field(16, name, () => groups.replace(/\b0(:0\b)+/, ':').replace(/:{3,}/, '::'));
      }
    }
    if (isLater) {
      protocol = undefined;
    } else if (protocol === 6) {
      begin('TCP header');
      const end = at + (bytes[at + 12] >> 4) * 4;
      field(2, 'source port', plain(''));
      field(2, 'destination port', plain(''));
      field(4, 'sequence number', plain(''));
      field(4, 'acknowledgment number', plain(''));
      field(1, 'header length', byte => `${byte >> 4} words of 4 bytes`);
      field(1, 'flags', bits => ['FIN', 'SYN', 'RST', 'PSH', 'ACK', 'URG', 'ECE', 'CWR'].filter((_, i) => bits >> i & 1).join(', '));
      field(2, 'window', plain(', before scaling'));
      field(2, 'checksum', plain(''));
      field(2, 'urgent pointer', plain(''));
      while (at < end) {
        const kind = bytes[at];
        const length = kind < 2 ? 1 : Math.min(Math.max(bytes[at + 1], 1), end - at);
        const [first, second] = [2, 6].map(from => from + 4 <= length ? view.getUint32(at + from) : 0);
        const options = {
          0: ['end', ''],
          1: ['no operation', 'fills up to a word'],
          2: ['maximum segment size', `${bytes[at + 2] * 256 + bytes[at + 3]} bytes`],
          3: ['window scale', `shift by ${bytes[at + 2]}`],
          4: ['SACK permitted', ''],
          5: ['SACK', `${first} to ${second}`],
          8: ['timestamps', `${first}, echo of ${second}`],
        };
        const [name, meaning] = options[kind] ?? [`kind ${kind}`, ''];
        field(length, `option: ${name}`, () => meaning);
      }
    } else if (protocol === 17) {
      begin('UDP header');
      field(2, 'source port', plain(''));
      field(2, 'destination port', plain(''));
      field(2, 'length', plain(' bytes, with this header'));
      field(2, 'checksum', plain(''));
    }
    if ((protocol === 1 || protocol === 58) && !isLater) {
      begin(`${names[protocol]} header`);
      field(1, 'type', plain(''));
      field(1, 'code', plain(''));
      field(2, 'checksum', plain(''));
      field(4, 'depends on the type', () => '');
    }
    if (at < bytes.length) {
      begin(isLater ? 'Part of a larger packet' : 'Payload');
      const text = new TextDecoder().decode(bytes.subarray(at, at + 400));
      field(bytes.length - at, `${bytes.length - at} bytes`, () => JSON.stringify(text));
    }
    return found;
  };

  const inspect = async figure => {
    const links = [...figure.querySelectorAll('.source a[download]')];
    const captures = await Promise.all(links.map(async link => {
      const answer = await fetch(link.href);
      if (!answer.ok) throw new Error(`${link.href}: ${answer.status}`);
      return sentIn(await answer.arrayBuffer(), link.textContent);
    }));
    const packets = captures.flat().sort((one, other) => one.micros - other.micros);
    let current = -1;

    const title = make('p', { className: 'title' });
    title.setAttribute('aria-live', 'polite');
    const fields = make('div', { className: 'fields' });
    const buttons = ['First', 'Previous', 'Next', 'Last'].map(name => make('button', { type: 'button', textContent: name }));
    const show = number => {
      current = Math.min(Math.max(number, 0), packets.length - 1);
      const { micros, bytes, host, fate } = packets[current];
      const ms = ((micros - packets[0].micros) / 1000).toFixed(1);
      title.textContent = `Packet ${current + 1} of ${packets.length}, sent by ${host} at ${ms} ms${fate && `, ${fate.replace('link: ', '')}`}`;
      fields.replaceChildren(...parts(bytes).map(([name, rows], part) => make('div', { className: `part p${part}` },
        make('p', {}, make('b', { textContent: name })),
        make('table', {}, make('tbody', {}, ...rows.map(([hex, field, meaning]) => make('tr', {},
          make('td', {}, make('code', { textContent: hex })),
          Object.assign(make('th', { textContent: field }), { scope: 'row' }),
          make('td', { textContent: meaning }),
        )))),
      )));
      // What has not been sent yet is pale.
      figure.querySelectorAll('[data-p]').forEach(mark => {
        mark.classList.toggle('later', mark.dataset.p > current);
        mark.classList.toggle('now', Number(mark.dataset.p) === current);
      });
      buttons.forEach((button, index) => {
        const isAtEnd = index < 2 ? current === 0 : current === packets.length - 1;
        button.setAttribute('aria-disabled', isAtEnd);
      });
    };
    const steps = [() => 0, () => current - 1, () => current + 1, () => packets.length - 1];
    buttons.forEach((button, index) => button.addEventListener('click', () => show(steps[index]())));
    const panel = make('div', { className: 'inspector' }, make('div', { className: 'steps' }, ...buttons), title, fields);
    panel.setAttribute('role', 'group');
    panel.setAttribute('aria-label', 'Packets one by one');
    panel.addEventListener('keydown', event => {
      const step = { Home: 0, ArrowLeft: 1, ArrowRight: 2, End: 3 }[event.key];
      if (step === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
      // The arrows would turn the page.
      event.preventDefault();
      event.stopPropagation();
      show(steps[step]());
    });
    figure.querySelector('figcaption').before(panel);
    show(0);
    buttons[2].focus();
  };

  document.querySelectorAll('figure.wire:is(.ladder, .calls)').forEach(figure => {
    if (!figure.querySelector('.source a[download]')) return;
    const button = make('button', { type: 'button', className: 'inspect', textContent: 'Step through the packets' });
    button.addEventListener('click', () => {
      button.disabled = true;
      inspect(figure).then(() => button.remove(), error => { button.textContent = `The captures can't be read: ${error.message}`; });
    });
    figure.querySelector('figcaption').before(button);
  });
})();
