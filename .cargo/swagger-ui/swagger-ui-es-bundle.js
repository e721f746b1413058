// The reference page loads swagger-ui-bundle.js: this one is left out of the program.
