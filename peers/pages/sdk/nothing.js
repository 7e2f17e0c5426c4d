// In place of ajv, which compiles schemas with `eval`; page.js brings a validator of its own.
export default class Nothing {}
