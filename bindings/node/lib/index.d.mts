export * from './index.js';
import sdk = require('./index.js');
export default sdk;
