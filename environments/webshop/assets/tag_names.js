// Tags product names: for each of a JSON list of names, a list of [token, tag] on standard output.
// Run by make_nouns.py, which sets the argument. Needs the packages wink-nlp and
// wink-eng-lite-web-model in the current folder.
const nlp = require("wink-nlp")(require("wink-eng-lite-web-model"), ["sbd", "pos"]);

function tagged(name) {
  const tokens = nlp.readDoc(name).tokens();
  const tags = tokens.out(nlp.its.pos);
  return tokens.out(nlp.its.value).map((token, i) => [token, tags[i]]);
}

process.stdout.write(JSON.stringify(JSON.parse(process.argv[2]).map(tagged)));
