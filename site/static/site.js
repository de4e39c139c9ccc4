/* Wide tables and equations scroll by themselves (site.css): let the keyboard reach them. */
addEventListener("load", () => {
  for (const wide of document.querySelectorAll(".bd-article table, .bd-article div.math")) {
    if (wide.scrollWidth > wide.clientWidth) wide.tabIndex = 0;
  }
  /* Docutils marks references as a list whose entries are, to a screen reader, no list items. */
  document.querySelectorAll(".citation-list").forEach((list) => list.removeAttribute("role"));
});
