"""What every model card says of emotion inference: what it is for, and what it is not."""

INTENDED = """## Intended use

Research on emotional speech, driving the face of an avatar, and describing recordings to people who can check what is
said of them, with the knowledge and consent of those who speak.

**Not for** decisions about people: hiring, work, schooling, credit, insurance, policing, border control, courts;
diagnosis or treatment; lie detection; watching people without their knowledge. Within the European Union, Article
5(1)(f) of Regulation (EU) 2024/1689 prohibits AI systems that infer emotions of people at the workplace and in
education institutions, except for medical or safety reasons; elsewhere Annex III lists emotion recognition as
high-risk, and Article 50(3) asks that those who are exposed to it be told. Other laws may say more. This is not legal
advice.
"""

LIMITS = """## Limits

* A voice does not show what a person feels. What is told is which label annotators of the corpora below would most
  likely give to how something is said.
* Much of the public emotional speech is acted, by few speakers, in studios. Spontaneous speech, noise, telephone
  lines, singing, children and voices unlike those of the corpora are told worse, and how much worse is not known
  unless it is listed under Results.
* How emotions sound differs between languages and cultures, and so do the words for them. A score on one language
  says little about another.
* Errors differ between speakers, genders and age groups; where the results below list them, look before use.
* Shares are not certainties about a person. They were calibrated only where it says so under Results.
"""
