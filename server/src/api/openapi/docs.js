'use strict';
// Shows openapi.json. Every text goes in as text, never as markup.

const make = (tag, attributes = {}, ...children) => {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
};

// Plain text with `code` in it.
const prose = (text) => (text || '').split('`').map((part, index) => (index % 2 ? make('code', {}, part) : part));

const resolve = (schema, api) => {
  let found = schema;
  for (let depth = 0; found && found.$ref && depth < 20; depth++) {
    found = found.$ref.replace(/^#\//, '').split('/').reduce((place, key) => place && place[key], api);
  }
  return found || {};
};

const nameOf = (schema) => schema.$ref && schema.$ref.split('/').pop();

const typeOf = (schema, api) => {
  const name = nameOf(schema);
  const inner = resolve(schema, api);
  const options = inner.oneOf || inner.anyOf;
  if (inner.enum) return inner.enum.map((word) => JSON.stringify(word)).join(' | ');
  if (options) return options.map((option) => typeOf(option, api)).join(' | ');
  const types = [].concat(inner.type || 'any');
  return types.map((type) => {
    if (type === 'array') return `list of ${typeOf(inner.items || {}, api)}`;
    if (type === 'object' && inner.additionalProperties && inner.additionalProperties.type) return `object of ${inner.additionalProperties.type}`;
    if (type === 'object' && name) return name;
    return inner.format === 'binary' ? 'bytes' : type;
  }).join(' | ');
};

// The properties, also those that are put together of several schemas.
const properties = (schema, api) => {
  const inner = resolve(schema, api);
  const required = new Set(inner.required || []);
  const rows = Object.entries(inner.properties || {}).map(([name, field]) => ({ name, field, needed: required.has(name) }));
  return rows.concat(...(inner.allOf || []).map((part) => properties(part, api)));
};

// Objects that a schema's fields hold, so that they can be shown below it.
const nested = (schema, api, seen = new Set()) => {
  for (const { field } of properties(schema, api)) {
    const inner = resolve(field, api);
    const options = [field, ...(inner.oneOf || []), ...(inner.anyOf || []), ...(inner.items ? [inner.items] : [])];
    for (const option of options) {
      const name = nameOf(option);
      if (name && !seen.has(name) && properties(option, api).length) {
        seen.add(name);
        nested(option, api, seen);
      }
    }
  }
  return seen;
};

const table = (schema, api) => {
  const rows = properties(schema, api).map(({ name, field, needed }) => {
    const text = field.description || resolve(field, api).description;
    return make('tr', {}, make('td', {}, make('code', {}, name), needed ? '' : '?'), make('td', {}, make('code', {}, typeOf(field, api))), make('td', {}, ...prose(text)));
  });
  if (!rows.length) return make('p', {}, make('code', {}, typeOf(schema, api)));
  const head = make('tr', {}, ...['field', 'type', ''].map((title) => make('th', { scope: 'col' }, title)));
  return make('table', {}, make('thead', {}, head), make('tbody', {}, ...rows));
};

const body = (content, api) => Object.entries(content || {}).map(([type, { schema }]) => {
  const box = make('details', {}, make('summary', {}, make('code', {}, type)));
  if (!schema) return box;
  const inner = schema.type === 'array' && schema.items ? schema.items : schema;
  box.append(table(inner, api));
  for (const name of nested(inner, api)) {
    box.append(make('h4', {}, name), table({ $ref: `#/components/schemas/${name}` }, api));
  }
  return box;
});

const example = (method, path, call) => {
  const types = Object.keys((call.requestBody || {}).content || {});
  const url = `${location.origin}${path}`;
  if (types.includes('multipart/form-data')) return `curl ${url} -F media=@clip.mp4`;
  if (types.includes('application/json')) return `curl ${url} -H 'content-type: application/json' -d '{…}'`;
  return `curl ${method === 'get' ? '' : `-X ${method.toUpperCase()} `}${url}`;
};

const article = (method, path, call, api) => {
  const id = `${method}${path}`.replace(/[^a-z0-9]+/gi, '-');
  const head = make('h3', {}, make('span', { class: `method ${method}` }, method.toUpperCase()), path);
  const box = make('article', { id }, head);
  const title = `${method.toUpperCase()} ${path}`;
  for (const text of [call.summary, call.description]) if (text && text !== title) box.append(make('p', {}, ...prose(text)));
  box.append(make('pre', { tabindex: '0' }, example(method, path, call)));
  for (const parameter of call.parameters || []) {
    box.append(make('p', {}, make('code', {}, parameter.name), ` (${parameter.in}) `, ...prose(parameter.description)));
  }
  if (call.requestBody) box.append(make('h4', {}, 'Request'), ...body(call.requestBody.content, api));
  box.append(make('h4', {}, 'Answers'));
  for (const [status, answer] of Object.entries(call.responses || {})) {
    box.append(make('p', {}, make('code', {}, status), ' ', ...prose(answer.description)), ...body(answer.content, api));
  }
  return { box, link: make('li', {}, make('a', { href: `#${id}` }, make('span', { class: `method ${method}` }, method.toUpperCase()), path)) };
};

const show = (api) => {
  document.getElementById('about').replaceChildren(...prose(api.info.description));
  document.getElementById('version').textContent = `OpenAPI ${api.openapi}, version ${api.info.version}`;
  const main = document.getElementById('calls');
  const index = document.getElementById('index');
  main.replaceChildren();
  for (const tag of api.tags || []) {
    const list = make('ul', {});
    main.append(make('h2', {}, tag.name), make('p', {}, ...prose(tag.description)));
    index.append(make('strong', {}, tag.name), list);
    for (const [path, calls] of Object.entries(api.paths)) {
      for (const [method, call] of Object.entries(calls)) {
        if (!call || !(call.tags || []).includes(tag.name)) continue;
        const { box, link } = article(method, path, call, api);
        main.append(box);
        list.append(link);
      }
    }
  }
  if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView();
};

fetch('openapi.json')
  .then((answer) => (answer.ok ? answer.json() : Promise.reject(new Error(`status ${answer.status}`))))
  .then(show)
  .catch((error) => {
    document.getElementById('calls').replaceChildren(make('p', { role: 'alert' }, `openapi.json cannot be shown: ${error.message}`));
  });
