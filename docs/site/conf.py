"""Settings of Sphinx for the documentation site, which docs/site/build.py builds."""

project = "harness"
html_title = "harness"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_copy_source = False
html_show_copyright = False
html_last_updated_fmt = None  # the same sources give the same pages
html_static_path = ["static"]
html_css_files = ["wide_tables.css"]
myst_heading_anchors = 3
myst_links_external_new_tab = False
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
napoleon_use_param = True
suppress_warnings = ["toc.not_included"]  # pages of boards are reached from their index
