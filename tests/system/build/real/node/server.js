const express = require("express");

const app = express();
app.get("/", (_request, response) => response.send(`node ${process.env.NODE_ENV} as ${process.getuid()}\n`));
app.listen(3000, "0.0.0.0");
